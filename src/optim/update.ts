import * as tf from '@tensorflow/tfjs-core';
import {adamStep, movingAverage, zeroMoments, type AdamOptions, type Moments} from './adam';
import type {BasisFunction} from './basis';
import {
  asMatrix,
  basisShape,
  project,
  projectBack,
  rotateMoments,
  type Projection,
  type Side,
} from './projector';
import type {VariableState} from './state';

/** What is the same for all variables in all steps. */
export interface UpdateRule extends AdamOptions {
  scale: number;
  refreshInterval: number;
  moments: 'keep' | 'rotate' | 'reset';
  basis: BasisFunction;
}

/** What is the same for all variables in one step. */
export interface StepSettings {
  learningRate: number;
  /** Scalar that every gradient is multiplied by; null: 1. */
  clip: tf.Tensor | null;
  /** Boolean scalar, false where nothing may change; null: true. See {@link FiniteCheck}. */
  mask: tf.Tensor | null;
  /** Called with the variable's name after its basis was computed anew. */
  onRefresh(variable: string): void;
}

/** A gradient as its update needs it: all of a step's may be held until the step is judged. */
export interface PreparedGradient {
  /** The gradient itself, or that of a projected variable in its subspace, R. */
  gradient: tf.Tensor;
  /** The basis that R belongs to, if the step refreshes it; null: the state's. */
  newBasis: tf.Tensor2D | null;
}

/** Whether a projected variable's next step gives it a new basis: the first one, and after `refreshInterval` of its own. */
export function isRefreshDue(
  {basis, basisSteps}: VariableState,
  {refreshInterval}: Pick<UpdateRule, 'refreshInterval'>,
): boolean {
  return !basis || basisSteps >= refreshInterval;
}

/**
 * R = PᵀG for a projected variable (GaLore, Alg. 2), with a new basis where one is due; for any other the gradient itself.
 * Changes nothing.
 */
export function prepareGradient(
  variable: tf.Variable,
  gradient: tf.Tensor,
  state: VariableState,
  projection: Projection | null,
  rule: UpdateRule,
): PreparedGradient {
  if (!projection) return {gradient, newBasis: null};
  const newBasis = isRefreshDue(state, rule)
    ? computeBasis(variable.name, gradient, state, projection, rule)
    : null;
  return {gradient: project(gradient, newBasis ?? state.basis!, projection), newBasis};
}

/**
 * One step of one variable: w ← w(1 − ηλ), then w ← w − η·Adam(g), or for a projected one w ← w − η·α·P·Adam(R). Changes the
 * variable and its state, and disposes of the gradient.
 *
 * Every statement frees what no later one needs. So beyond variable, state and gradient there are at most two buffers of the
 * variable's size at once, three when the gradient is gone.
 */
export function updateVariable(
  variable: tf.Variable,
  prepared: PreparedGradient,
  state: VariableState,
  projection: Projection | null,
  weightDecay: number,
  rule: UpdateRule,
  step: StepSettings,
): void {
  if (weightDecay > 0) {
    tf.tidy(() => {
      const rest = tf.scalar(1 - step.learningRate * weightDecay);
      variable.assign(tf.mul(variable, allowed(step, rest, tf.scalar(1))));
    });
  }
  tf.tidy(() => {
    const next = tf.tidy(() => {
      const change = projection
        ? projectedChange(variable, prepared, state, projection, rule, step)
        : adam(prepared.gradient, step.learningRate, state, rule, step);
      return tf.sub(variable, change);
    });
    variable.assign(allowed(step, next, variable));
  });
}

/** η·α·P·Adam(R) in the variable's shape (GaLore, Alg. 2). */
function projectedChange(
  {name, shape}: tf.Variable,
  {gradient, newBasis}: PreparedGradient,
  state: VariableState,
  {side}: Projection,
  rule: UpdateRule,
  step: StepSettings,
): tf.Tensor {
  if (newBasis) changeBasis(name, newBasis, state, side, rule, step);
  const change = adam(gradient, step.learningRate * rule.scale, state, rule, step) as tf.Tensor2D;
  state.basisSteps++;
  return tf.reshape(projectBack(change, state.basis!, side), shape);
}

/** Moves the moments on by one gradient, which it disposes of, and gives `rate`·m̂/(√v̂ + ε). */
function adam(
  gradient: tf.Tensor,
  rate: number,
  state: VariableState,
  rule: UpdateRule,
  step: StepSettings,
): tf.Tensor {
  const moments = momentsOf(state, gradient.shape);
  const g = clipped(gradient, step);
  moments.first = renew(moments.first, step, (m) => movingAverage(m, g, rule.beta1));
  const square = tf.square(g);
  g.dispose();
  moments.second = renew(moments.second, step, (v) => movingAverage(v, square, rule.beta2));
  square.dispose();
  state.adamSteps++;
  return adamStep(moments, state.adamSteps, rate, rule);
}

/** The gradient times the clip factor; the one without is disposed. */
function clipped(gradient: tf.Tensor, {clip}: StepSettings): tf.Tensor {
  if (!clip) return gradient;
  const product = tf.mul(gradient, clip);
  gradient.dispose();
  return product;
}

/** The moments of a variable's state: zeros before its first step. */
function momentsOf(state: VariableState, shape: number[]): Moments {
  if (!state.moments) {
    const {first, second} = zeroMoments(shape);
    state.moments = {first: tf.keep(first), second: tf.keep(second)};
  }
  return state.moments;
}

function computeBasis(
  variable: string,
  gradient: tf.Tensor,
  state: VariableState,
  projection: Projection,
  rule: UpdateRule,
): tf.Tensor2D {
  return tf.tidy(() => {
    const matrix = asMatrix(gradient, projection);
    const oriented = projection.side === 'left' ? matrix : tf.transpose<tf.Tensor2D>(matrix);
    const basis = rule.basis(oriented, projection.rank, state.basis, variable);
    const shape = basisShape(projection);
    tf.util.assertShapesMatch(basis.shape, shape, `OwLoreOptimizer: basis of '${variable}': `);
    return basis;
  });
}

/** Puts a new basis in the place of the old one, and takes the moments along. */
function changeBasis(
  variable: string,
  basis: tf.Tensor2D,
  state: VariableState,
  side: Side,
  rule: UpdateRule,
  step: StepSettings,
): void {
  if (state.moments) carryMoments(state, state.moments, basis, side, rule, step);
  state.basis = renew(state.basis ?? tf.zerosLike(basis), step, () => basis);
  state.basisSteps = 0;
  step.onRefresh(variable);
}

/** Takes the moments from the old basis to the new one. */
function carryMoments(
  state: VariableState,
  moments: Moments,
  basis: tf.Tensor2D,
  side: Side,
  rule: UpdateRule,
  step: StepSettings,
): void {
  if (rule.moments === 'keep') return;
  const {first, second} =
    rule.moments === 'rotate'
      ? rotateMoments(moments, state.basis!, basis, side, state.adamSteps, rule)
      : zeroMoments(moments.first.shape);
  moments.first = renew(moments.first, step, () => first);
  moments.second = renew(moments.second, step, () => second);
  if (rule.moments === 'reset') state.adamSteps = 0;
}

/** `next`, or `old` where the mask says that nothing may change. */
function allowed<T extends tf.Tensor>(step: StepSettings, next: T, old: T): T {
  return step.mask ? tf.where(step.mask, next, old) : next;
}

/** What `compute` makes of `old`, which is freed, to be kept in its place: `old` again where nothing may change. */
function renew<T extends tf.Tensor>(old: T, step: StepSettings, compute: (old: T) => T): T {
  const next = tf.keep(tf.tidy(() => allowed(step, compute(old), old)));
  old.dispose();
  return next;
}
