/**
 * Updates of a projected matrix other than GaLore's, made of plain ops. Loaded on demand, for the option `update`. With G, R = PᵀG (left; the right side is the same transposed),
 * M and V as in `update.ts`, and N = M/(√V + ε), of which column j belongs to column j of G:
 *
 *   φ_j = ‖N_j‖/‖R_j‖              how Adam scales column j; in APOLLO-Mini φ = ‖N‖/‖R‖ for all of them
 *   S = (G − P·R)·φ                Fira: what of the gradient is outside the subspace, scaled as Adam scales the part inside
 *   S = G·φ                        APOLLO: the gradient itself
 *   S ← S·min(1, 1.01·s/‖S‖)       s: the norm of S in the step before, as limited
 *   W ← W − η·α·(P·N + S)          Fira, here with P of orthonormal columns
 *   W ← W − η·α·S                  APOLLO
 *
 * η has Adam's bias corrections, and N, φ and S have not, as in the published code of both.
 *
 * Fira: Chen et al. 2024, arXiv 2410.01623. APOLLO: Zhu et al. 2024, arXiv 2412.05270. In Fira's published code α multiplies P·N and
 * P·R, but not S; here it is the length of the whole step. They are the same at α = 1.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {Side} from '../kernels/kernel_names';
import {asMatrix, projectBack} from './projector';
import {ifFinite, replace, type VariableState} from './state';
import type {StepSettings, Update} from './update';

/** By how much the norm of S may grow from one step to the next; the number of both papers. */
const GROWTH = 1.01;

/** Keeps divisions by a norm finite, as in the published code. */
const TINY = 1e-8;

/**
 * By what a projected matrix with a `whole` gradient is moved, but for η·α: P·N + S or S. It remembers the norm of S in the state.
 *
 * @param n N, as of R without the bias corrections.
 * @param r R.
 * @returns The change [rows, columns]. It is called inside a `tidy`.
 */
export function changeByGradient(
  {projection, state, whole}: Update,
  {options: {update}, clip, allFinite}: StepSettings,
  n: tf.Tensor,
  r: tf.Tensor,
): tf.Tensor {
  const {side} = projection!;
  const inSpace = (x: tf.Tensor): tf.Tensor => projectBack(x as tf.Tensor2D, state.basis!, side);
  const isFira = update === 'fira';
  const factors = scalingFactors(n, r, update === 'apollo-mini' ? null : side);
  // Every statement frees what no later one needs: beside the result there are at most two buffers of the matrix's size at once.
  return tf.tidy(() => {
    const s = tf.tidy(() => {
      const rest = tf.tidy(() => {
        const g = asMatrix(clip ? tf.mul(whole!, clip) : whole!, projection!);
        return isFira ? tf.sub(g, inSpace(r)) : g;
      });
      return tf.mul(rest, factors);
    });
    const change = limited(s, state, allFinite);
    if (s !== change) s.dispose();
    return isFira ? tf.add(inSpace(n), change) : change;
  });
}

/** φ: ‖N_j‖/‖R_j‖ for each index j of the dimension that the basis does not span; with no side, one for the whole matrix. */
function scalingFactors(n: tf.Tensor, r: tf.Tensor, side: Side | null): tf.Tensor {
  const axis = side === null ? undefined : side === 'left' ? 0 : 1;
  const norm = (x: tf.Tensor): tf.Tensor => tf.sqrt(tf.sum(tf.square(x), axis, true));
  return tf.div(norm(n), tf.add(norm(r), TINY));
}

/**
 * S with its norm limited by that of the step before, and remembers its norm. After a norm of 0 there is no limit: the published
 * code would let S stay at nearly 0 for good.
 */
function limited(s: tf.Tensor, state: VariableState, allFinite: tf.Tensor | null): tf.Tensor {
  const norm = tf.tidy(() => tf.sqrt(tf.sum(tf.square(s))));
  const {limit} = state;
  if (!limit) {
    state.limit = tf.keep(ifFinite(allFinite, norm, tf.zerosLike(norm)));
    return s;
  }
  const growth = tf.maximum(tf.div(norm, tf.add(limit, TINY)), GROWTH);
  const divisor = tf.where(tf.greater(limit, 0), tf.div(growth, GROWTH), tf.onesLike(norm));
  state.limit = replace(limit, ifFinite(allFinite, tf.div(norm, divisor), tf.clone(limit)));
  return tf.div(s, divisor);
}

/** Any fixed number: a run repeats itself. */
const SEED = 241205270;

/**
 * A random basis [m, r] of independent normal numbers with the variance 1/r, so that PᵀG has columns of about the length of
 * those of G (APOLLO). All matrices of one shape get the same one in a step.
 */
export function gaussianBasis([m, rank]: [number, number], step: number): tf.Tensor2D {
  return tf.randomNormal<tf.Rank.R2>([m, rank], 0, 1 / Math.sqrt(rank), 'float32', SEED + step);
}
