/**
 * The update of one matrix W by its gradient G (GaLore: Zhao et al. 2024, Alg. 2; Adam with decoupled weight decay), on the left
 * side, with what differs on the right beside it:
 *
 *   P ← leading left singular vectors of G     of Gᵀ     in the first step, and after every T of the matrix' own
 *   R = PᵀG                                    GP
 *   M ← β₁M + (1 − β₁)R
 *   V ← β₂V + (1 − β₂)R∘R
 *   N = M̂/(√V̂ + ε)                                       M̂ = M/(1 − β₁ᵗ), V̂ = V/(1 − β₂ᵗ) in Adam's step t
 *   W ← W − η(α·P·N + λW)                      α·N·Pᵀ
 *
 * A variable that is not projected has R = G, and N in the place of α·P·N: that is AdamW.
 *
 * `projectGradient` is the first two lines and changes nothing, so that all gradients of a step can be looked at together;
 * `applyUpdates` is the rest.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {ResolvedOwLoreOptions} from '../owlore_options';
import {adamStep, movingAverage, rotateMoments, updateNumbers, zeroMoments} from './adam';
import {computeBasis} from './basis';
import {fusedAdam} from './fused_adam';
import {project, projectBack, type Projection} from './projector';
import {masked, renew, type VariableState} from './state';

/** One variable in one step. */
export interface Update {
  variable: tf.Variable;
  /** How the variable is projected; null: not. */
  projection: Projection | null;
  /** P, M, V and the clocks T and t are counted by. */
  state: VariableState;
  /** G, then R. */
  gradient: tf.Tensor;
  /** The P that R belongs to, if it is a new one; null: the state's. */
  newBasis: tf.Tensor2D | null;
  /** Steps that the new basis counts as having been in use already. */
  basisAge: number;
}

/** What all variables of one step have in common. */
export interface StepSettings {
  options: ResolvedOwLoreOptions;
  /** η. */
  learningRate: number;
  /** Scalar that every gradient is multiplied by; null: 1. */
  clip: tf.Tensor | null;
  /** Boolean scalar, false where nothing may change; null: true. */
  mask: tf.Tensor | null;
  /** Called with the variable's name after its basis was replaced. */
  onRefresh(variable: string): void;
}

/** Whether a projected variable's next step gives it a new basis. */
export function isRefreshDue(
  {basis, basisSteps}: VariableState,
  {refreshInterval}: Pick<ResolvedOwLoreOptions, 'refreshInterval'>,
): boolean {
  return !basis || basisSteps >= refreshInterval;
}

/** The update with R in the place of G, and with a new P where one is due. */
export function projectGradient(update: Update, options: ResolvedOwLoreOptions): Update {
  const {variable, projection, state, gradient} = update;
  if (!projection) return update;
  const newBasis = isRefreshDue(state, options)
    ? computeBasis(variable.name, gradient, projection, state.basis, options.basis)
    : null;
  return {...update, gradient: project(gradient, newBasis ?? state.basis!, projection), newBasis};
}

/** Moves variables and states by the projected gradients, which it disposes of. */
export function applyUpdates(updates: readonly Update[], step: StepSettings): void {
  for (const update of updates) advanceState(update, step);
  if (fusedAdam(updates, step)) return;
  for (const update of updates) tf.tidy(() => applyUpdate(update, step));
}

/** Puts a new P, if there is one, in its place, and counts the step. */
function advanceState(update: Update, step: StepSettings): void {
  const {variable, projection, state, gradient, newBasis, basisAge} = update;
  if (newBasis) {
    tf.tidy(() => {
      transferMoments(update, newBasis, step);
      state.basis = renew(state.basis ?? tf.zerosLike(newBasis), step.mask, () => newBasis);
    });
    state.basisSteps = basisAge;
    step.onRefresh(variable.name);
  }
  if (!state.moments) {
    const {first, second} = zeroMoments(gradient.shape);
    state.moments = {first: tf.keep(first), second: tf.keep(second)};
  }
  state.adamSteps++;
  if (projection) state.basisSteps++;
}

/** Takes M and V, if there are any, from the old basis to a new one. */
function transferMoments(
  {projection, state}: Update,
  newBasis: tf.Tensor2D,
  {options, mask}: StepSettings,
): void {
  const {moments, basis, adamSteps} = state;
  if (!moments || options.moments === 'keep') return;
  const {first, second} =
    options.moments === 'rotate'
      ? rotateMoments(
          moments,
          tf.matMul(newBasis, basis!, true),
          projection!.side,
          adamSteps,
          options,
        )
      : zeroMoments(moments.first.shape);
  moments.first = renew(moments.first, mask, () => first);
  moments.second = renew(moments.second, mask, () => second);
  if (options.moments === 'reset') state.adamSteps = 0;
}

/**
 * M, V, N and W of plain ops, for reference and for backends without a kernel of their own. Every statement frees what no later
 * one needs: beyond variable and state there are at most two buffers of the variable's size at once, three if it is not
 * projected.
 */
export function applyUpdate(update: Update, step: StepSettings): void {
  const {variable, projection, state, gradient} = update;
  const {clip, mask, options} = step;
  const moments = state.moments!;
  const numbers = updateNumbers(update, step);

  const r = clip ? tf.mul(gradient, clip) : gradient;
  if (r !== gradient) gradient.dispose();
  moments.first = renew(moments.first, mask, (m) => movingAverage(m, r, options.beta1));
  const square = tf.square(r);
  r.dispose();
  moments.second = renew(moments.second, mask, (v) => movingAverage(v, square, options.beta2));
  square.dispose();

  if (numbers.decay !== 1) {
    tf.tidy(() => {
      const decay = masked(mask, tf.scalar(numbers.decay), tf.scalar(1));
      variable.assign(tf.mul(variable, decay));
    });
  }
  const next = tf.tidy(() => {
    const n = adamStep(moments, numbers);
    if (!projection) return tf.sub(variable, n);
    const change = projectBack(n as tf.Tensor2D, state.basis!, projection.side);
    return tf.sub(variable, tf.reshape(change, variable.shape));
  });
  variable.assign(masked(mask, next, variable));
}
