import * as tf from '@tensorflow/tfjs-core';
import {stepSize, type AdamOptions, type Moments, type StepSize} from './adam';
import {display} from '../options';
import {isOwnBasis, type BasisFunction} from './basis';
import {moveAtOnce} from './adam_kernel';
import {carryMoments, momentsOf, moveMoments} from './moments';
import {asMatrix, basisShape, project, type Projection, type Side} from './projector';
import type {VariableState} from './state';
import {largestMagnitude, smallestNormal} from './largest_magnitude';
import {readsSynchronously} from './read_back';
import {renew, type StepSettings} from './step_settings';
import {moveWeights, type Subspace} from './weights';

/** What is the same for all variables in all steps. */
export interface UpdateRule extends AdamOptions {
  scale: number | 'auto';
  refreshInterval: number;
  moments: 'keep' | 'rotate' | 'reset';
  basis: BasisFunction;
}

/** A gradient as its update needs it: all of a step's may be held until the step is judged. */
export interface PreparedGradient {
  /** The gradient itself, or that of a projected variable in its subspace, R. */
  gradient: tf.Tensor;
  /** The basis that R belongs to, if the step refreshes it; null: the state's. */
  newBasis: tf.Tensor2D | null;
  /** Steps that the new basis counts as having been in use already; default 0. */
  basisAge?: number;
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
 * With `scale: 'auto'` the columns of a new basis get the lengths of {@link directionScales}. Changes nothing.
 */
export function prepareGradient(
  variable: tf.Variable,
  gradient: tf.Tensor,
  state: VariableState,
  projection: Projection | null,
  rule: UpdateRule,
): PreparedGradient {
  if (!projection) return {gradient, newBasis: null};
  if (!isRefreshDue(state, rule)) {
    return {gradient: project(gradient, state.basis!, projection), newBasis: null};
  }
  const basis = computeBasis(variable.name, gradient, state, projection, rule);
  const projected = project(gradient, basis, projection);
  if (rule.scale !== 'auto') return {gradient: projected, newBasis: basis};
  const scales = directionScales(projected, projection.side);
  const ofProjected = projection.side === 'left' ? tf.reshape(scales, [-1, 1]) : scales;
  return {gradient: tf.mul(projected, ofProjected), newBasis: tf.mul(basis, scales)};
}

/** A variable whose gradient and state are ready to move it. */
export interface ReadyVariable {
  variable: tf.Variable;
  gradient: tf.Tensor;
  /** Those of its state. */
  moments: Moments;
  subspace: Subspace | null;
  size: StepSize;
  /** What the weights are multiplied by first. */
  decay: number;
}

/** Brings the state of a variable to the step: its clocks, its moments and, if there is a new basis, that. */
export function makeReady(
  variable: tf.Variable,
  {gradient, newBasis, basisAge = 0}: PreparedGradient,
  state: VariableState,
  projection: Projection | null,
  weightDecay: number,
  rule: UpdateRule,
  step: StepSettings,
): ReadyVariable {
  const {learningRate} = step;
  if (newBasis) {
    tf.tidy(() => changeBasis(variable.name, newBasis, state, projection!.side, rule, step));
    state.basisSteps = basisAge;
  }
  const moments = momentsOf(state, gradient.shape);
  state.adamSteps++;
  if (projection) state.basisSteps++;
  const scaledRate = learningRate * (projection ? scaleOf(projection, rule) : 1);
  return {
    variable,
    gradient,
    moments,
    subspace: projection && {projection, basis: state.basis!},
    size: stepSize(state.adamSteps, scaledRate, rule),
    decay: 1 - learningRate * weightDecay,
  };
}

/**
 * α of a projected step. Adam moves about each of a matrix' m·n elements by η, a step of the length η√(mn); in a basis of m's r
 * directions it is each of r·n. `'auto'`, √(m/r), makes up for that; the rest of it is in the basis, see {@link directionScales}.
 */
function scaleOf(projection: Projection, {scale}: UpdateRule): number {
  if (scale !== 'auto') return scale;
  const [dimension, rank] = basisShape(projection);
  return Math.sqrt(dimension / rank);
}

/**
 * How much further than the others a direction of the basis moves, [rank], with `scale: 'auto'`: max(1, σ/σ_rms), of the lengths σ
 * that R has along the directions. Adam moves each element by η whatever its gradient, so together they move along a direction in
 * proportion to the part that it has of the gradient, σ/‖R‖; in the coordinates of a basis all directions would move by η, and a gradient
 * of few directions would get hardly anywhere. As lengths of the columns of P they need no other step than the method's: Adam
 * does not depend on the scale of a coordinate of R = PᵀG, and P·N has it.
 */
function directionScales(projected: tf.Tensor2D, side: Side): tf.Tensor1D {
  return tf.tidy(() => {
    const scaled = tf.div(projected, largestMagnitude(projected));
    const squares = tf.sum<tf.Tensor1D>(tf.square(scaled), side === 'left' ? 1 : 0);
    const mean = tf.maximum(tf.mean(squares), smallestNormal());
    return tf.maximum<tf.Tensor1D>(1, tf.sqrt(tf.div(squares, mean)));
  });
}

/**
 * One step of some variables: w ← w(1 − ηλ) − η·Adam(g), or for a projected one w ← w(1 − ηλ) − η·α·P·Adam(R). Changes the
 * variables and their moments, and disposes of the gradients.
 */
export function updateVariables(
  variables: readonly ReadyVariable[],
  rule: UpdateRule,
  step: StepSettings,
): void {
  for (const {variable, gradient, moments, subspace, size, decay} of moveAtOnce(
    variables,
    rule,
    step,
  )) {
    tf.tidy(() => {
      moveMoments(moments, gradient, rule, step);
      moveWeights(variable, moments, subspace, size, decay, step);
    });
  }
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
    const previous =
      rule.scale === 'auto' ? state.basis && withUnitColumns(state.basis) : state.basis;
    const basis = rule.basis(oriented, projection.rank, previous, variable);
    checkBasis(variable, basis, basisShape(projection), rule.basis);
    // What the function returns may be the old basis or the gradient, which are freed.
    return tf.clone(basis);
  });
}

/** A basis without the lengths of {@link directionScales}. A column of zeros stays one. */
function withUnitColumns(basis: tf.Tensor2D): tf.Tensor2D {
  const lengths = tf.sqrt(tf.sum(tf.square(basis), 0));
  return tf.div(basis, tf.maximum(lengths, smallestNormal()));
}

/** Throws unless what a function gave is a basis. The values of one of our own need no look. */
function checkBasis(
  variable: string,
  basis: unknown,
  shape: readonly number[],
  basisFunction: BasisFunction,
): void {
  const fail = (what: string): never => {
    throw new Error(
      `OwLoreOptimizer: the basis of '${variable}' ${what}; nothing was changed. The function 'basis' must return a float32 ` +
        `tensor of the shape [${shape}], with orthonormal columns`,
    );
  };
  if (!(basis instanceof tf.Tensor)) {
    return fail(basis instanceof Promise ? 'is a promise' : `is no tensor but ${display(basis)}`);
  }
  if (basis.isDisposed) fail('is disposed');
  if (basis.dtype !== 'float32') fail(`is ${basis.dtype}`);
  if (!tf.util.arraysEqual(basis.shape as number[], [...shape]))
    fail(`has the shape [${basis.shape}]`);
  if (isOwnBasis(basisFunction) || !readsSynchronously()) return;
  const wrong = basis.dataSync<'float32'>().find((x) => !Number.isFinite(x));
  if (wrong !== undefined) fail(`has a ${wrong}`);
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
  carryMoments(state, basis, side, rule, step);
  state.basis = renew(state.basis ?? tf.zerosLike(basis), step, () => basis);
  step.onRefresh(variable);
}
