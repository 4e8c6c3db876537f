import * as tf from '@tensorflow/tfjs-core';
import type {Side} from '../../../kernels/kernel_names';

/**
 * How a projected matrix is moved once Adam's moments have seen R: one file for each paper, one line in `index.ts`. The matrix is
 * W [rows, columns], G its gradient, P the basis, R = PᵀG; on the side `right` all of this is transposed.
 */
export interface UpdateRule {
  /**
   * Whether G itself moves W too, so that it is kept until then, and is not accumulated as R. Where it is not, the matrix moves as
   * GaLore has it, which the fused kernels compute, and `change` is not asked.
   */
  readonly needsWholeGradient: boolean;
  /** Whether `scale: 'auto'` makes the columns of a basis longer (`directionScales`). */
  readonly scalesDirections: boolean;
  /**
   * A basis of its own [m, rank] that does not come from the gradient; undefined: the option `basis` says how one is made.
   *
   * @param step How many steps the optimizer has made.
   */
  basis?(shape: [m: number, rank: number], step: number): tf.Tensor2D;
  /** α of the published code where it is not 1. */
  readonly publishedScale?: number;
  /** By what W is moved, [rows, columns], but for α and, if it needs G, η. Called inside a `tidy`. */
  change(step: ProjectedStep): tf.Tensor2D;
}

/** What a rule has of a matrix in one step. */
export interface ProjectedStep {
  /** N, Adam's step in the subspace: as long as η says, or without η where G moves W too. */
  n: tf.Tensor2D;
  /** R. */
  r: tf.Tensor2D;
  side: Side;
  /** G [rows, columns], if the rule needs it. */
  gradient(): tf.Tensor2D;
  /** P·x of an x in the subspace. */
  toSpace(x: tf.Tensor2D): tf.Tensor2D;
  /** What `make` returns, with its norm limited by that of the matrix's step before, which the optimizer remembers. */
  limited(make: () => tf.Tensor2D): tf.Tensor2D;
}

/** Keeps divisions by a norm finite, as in the published code of Fira and APOLLO. */
export const TINY = 1e-8;

/**
 * φ, how Adam scales the gradient: ‖N_j‖/‖R_j‖ for each index j of the dimension that the basis does not span.
 *
 * @param axis The dimension that the basis spans; undefined: one φ for the whole matrix.
 */
export function scalingFactors({n, r}: ProjectedStep, axis: 0 | 1 | undefined): tf.Tensor {
  const norm = (x: tf.Tensor): tf.Tensor => tf.sqrt(tf.sum(tf.square(x), axis, true));
  return tf.div(norm(n), tf.add(norm(r), TINY));
}

/** The dimension of W that the basis spans. */
export function spannedAxis({side}: ProjectedStep): 0 | 1 {
  return side === 'left' ? 0 : 1;
}
