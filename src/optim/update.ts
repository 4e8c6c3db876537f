import * as tf from '@tensorflow/tfjs-core';
import {adamStep, updateMoments, zeroMoments, type AdamOptions, type Moments} from './adam';
import type {BasisFunction} from './basis';
import {
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
export interface Step {
  learningRate: number;
  /** Scalar that every gradient is multiplied by; null: 1. */
  clip: tf.Tensor | null;
  /** Boolean scalar, false where nothing may change; null: true. See {@link FiniteCheck}. */
  mask: tf.Tensor | null;
  /** Called with the variable's name after its basis was computed anew. */
  onRefresh(variable: string): void;
}

/** A gradient as its update needs it: all of a step's may be held until the step is judged, and these are small. */
export interface PreparedGradient {
  /** The gradient itself, or that of a projected variable in its subspace, R. */
  gradient: tf.Tensor;
  /** The basis that R belongs to, if the step refreshes it; null: the state's. */
  newBasis: tf.Tensor2D | null;
}

/**
 * R = PᵀG for a projected variable (GaLore, Alg. 2), with a new basis at its first step and after every `refreshInterval` of
 * its own steps; else the gradient. Changes nothing. The given gradient stays the caller's; what is made is new.
 */
export function prepareGradient(
  variable: tf.Variable,
  gradient: tf.Tensor,
  state: VariableState,
  projection: Projection | null,
  rule: UpdateRule,
): PreparedGradient {
  if (!projection) return {gradient: tf.clone(gradient), newBasis: null};
  const {rows, columns, side} = projection;
  const matrix = tf.reshape<tf.Rank.R2>(gradient, [rows, columns]);
  const isDue = !state.basis || state.basisSteps >= rule.refreshInterval;
  const newBasis = isDue ? computeBasis(variable.name, matrix, state, projection, rule) : null;
  return {gradient: project(matrix, newBasis ?? state.basis!, side), newBasis};
}

/**
 * One step of one variable: w ← w(1 − ηλ), then w ← w − η·Adam(g), or for a projected one w ← w − η·α·P·Adam(R). Changes the
 * variable and its state.
 */
export function updateVariable(
  variable: tf.Variable,
  {gradient, newBasis}: PreparedGradient,
  state: VariableState,
  projection: Projection | null,
  weightDecay: number,
  rule: UpdateRule,
  step: Step,
): void {
  tf.tidy(() => {
    let change: tf.Tensor;
    if (projection) {
      const {side} = projection;
      if (newBasis) changeBasis(variable.name, newBasis, state, side, rule, step);
      const inSubspace = adam(gradient, step.learningRate * rule.scale, state, rule, step);
      const full = projectBack(inSubspace as tf.Tensor2D, state.basis!, side);
      change = tf.reshape(full, variable.shape);
      state.basisSteps++;
    } else {
      change = adam(gradient, step.learningRate, state, rule, step);
    }
    const decayed =
      weightDecay > 0 ? tf.mul(variable, 1 - step.learningRate * weightDecay) : variable;
    variable.assign(allowed(step, tf.sub(decayed, change), variable));
  });
}

/** Moves the moments on by one gradient and gives `rate`·m̂/(√v̂ + ε). */
function adam(
  gradient: tf.Tensor,
  rate: number,
  state: VariableState,
  rule: UpdateRule,
  step: Step,
): tf.Tensor {
  const clipped = step.clip ? tf.mul(gradient, step.clip) : gradient;
  const moments = updateMoments(state.moments ?? zeroMoments(gradient.shape), clipped, rule);
  state.adamSteps++;
  const change = adamStep(moments, state.adamSteps, rate, rule);
  replaceMoments(state, moments, step);
  return change;
}

function computeBasis(
  variable: string,
  gradient: tf.Tensor2D,
  state: VariableState,
  projection: Projection,
  rule: UpdateRule,
): tf.Tensor2D {
  const oriented = projection.side === 'left' ? gradient : tf.transpose<tf.Tensor2D>(gradient);
  const basis = rule.basis(oriented, projection.rank, state.basis, variable);
  const shape = basisShape(projection);
  tf.util.assertShapesMatch(basis.shape, shape, `OwLoreOptimizer: basis of '${variable}': `);
  return basis;
}

/** Puts a new basis in the place of the old one, and takes the moments along. */
function changeBasis(
  variable: string,
  basis: tf.Tensor2D,
  state: VariableState,
  side: Side,
  rule: UpdateRule,
  step: Step,
): void {
  if (state.moments) carryMoments(state, basis, side, rule, step);
  const old = state.basis ?? tf.zerosLike(basis);
  state.basis = replace(state.basis, allowed(step, basis, old));
  state.basisSteps = 0;
  step.onRefresh(variable);
}

/** Takes the moments from the old basis to the new one. */
function carryMoments(
  state: VariableState,
  basis: tf.Tensor2D,
  side: Side,
  rule: UpdateRule,
  step: Step,
): void {
  if (rule.moments === 'rotate') {
    const {moments, basis: old, adamSteps} = state;
    replaceMoments(state, rotateMoments(moments!, old!, basis, side, adamSteps, rule), step);
  } else if (rule.moments === 'reset') {
    replaceMoments(state, zeroMoments(state.moments!.first.shape), step);
    state.adamSteps = 0;
  }
}

function replaceMoments(state: VariableState, {first, second}: Moments, step: Step): void {
  const old = state.moments ?? zeroMoments(first.shape);
  state.moments = {
    first: replace(state.moments?.first, allowed(step, first, old.first)),
    second: replace(state.moments?.second, allowed(step, second, old.second)),
  };
}

/** `next`, or `old` where the mask says that nothing may change. */
function allowed<T extends tf.Tensor>(step: Step, next: T, old: T): T {
  return step.mask ? tf.where(step.mask, next, old) : next;
}

/** Keeps `next` beyond the surrounding tidy and frees `old`. */
function replace<T extends tf.Tensor>(old: T | null | undefined, next: T): T {
  tf.keep(next);
  old?.dispose();
  return next;
}
