/**
 * The update of one variable by the kernels, and the same composed of tfjs's ops, for tests and benchmarks that compare the two.
 * Both return the new moments and the variable's new value, and dispose of nothing.
 */
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreAdam, OwLoreProject, type Side} from '../src/kernels/kernel_names';
import type {Moments} from '../src/owlore/optimizer/state/state';
import {movingAverage} from '../src/owlore/optimizer/step/adam';
import {projectBack} from '../src/owlore/optimizer/state/projector';

export interface UpdateInputs extends Moments {
  variable: tf.Tensor;
  /** Undefined for a variable that is not projected. */
  basis?: tf.Tensor2D | undefined;
  /** The whole gradient, also of a projected variable. */
  gradient: tf.Tensor;
  clip?: tf.Tensor;
  allFinite?: tf.Tensor;
}

/** The bias corrections are in rate and epsilon. */
export interface UpdateNumbers {
  beta1: number;
  beta2: number;
  rate: number;
  epsilon: number;
  decay: number;
  side: Side;
}

export type Updated = Moments & {variable: tf.Tensor};

/** As `owlore/optimizer/step/update` does it without the kernels. */
export function composedUpdate(inputs: UpdateInputs, numbers: UpdateNumbers): Updated {
  const {variable, basis, clip, allFinite} = inputs;
  const {beta1, beta2, rate, epsilon, decay, side} = numbers;
  const allowed = (next: tf.Tensor, old: tf.Tensor): tf.Tensor =>
    allFinite ? tf.where(allFinite, next, old) : next;
  const projected = projectGradient(inputs, side);
  const g = clip ? tf.mul(projected, clip) : projected;
  const first = allowed(movingAverage(inputs.first, g, beta1), inputs.first);
  const second = allowed(movingAverage(inputs.second, tf.square(g), beta2), inputs.second);
  const change = tf.div(tf.mul(first, rate), tf.add(tf.sqrt(second), epsilon));
  const inFull = basis ? projectBack(change as tf.Tensor2D, basis, side) : change;
  const decayed = tf.mul(variable, allowed(tf.scalar(decay), tf.scalar(1)));
  return {first, second, variable: allowed(tf.sub(decayed, inFull), variable)};
}

export function kernelUpdate(inputs: UpdateInputs, numbers: UpdateNumbers): Updated {
  const {variable, basis, first, second, clip, allFinite} = inputs;
  const {beta1, beta2, side, ...step} = numbers;
  const gradient = basis
    ? runKernel(OwLoreProject, {gradient: inputs.gradient, basis}, {side})[0]
    : inputs.gradient;
  const given = {variable0: variable, first0: first, second0: second, gradient0: gradient};
  const results = runKernel(OwLoreAdam, present({...given, basis0: basis, clip, allFinite}), {
    ...{beta1, beta2},
    updates: [{...step, side: basis && side}],
  });
  const [next, newFirst, newSecond] = results as [tf.Tensor, tf.Tensor, tf.Tensor];
  return {first: newFirst, second: newSecond, variable: next};
}

/** Runs a kernel of the current backend by its name. */
export function runKernel(
  name: string,
  inputs: tf.NamedTensorMap,
  attrs: object = {},
): tf.Tensor[] {
  const outputs = tf.engine().runKernel(name, inputs, attrs as tf.NamedAttrMap);
  return Array.isArray(outputs) ? outputs : [outputs];
}

function projectGradient({gradient, basis}: UpdateInputs, side: Side): tf.Tensor {
  if (!basis) return gradient;
  return side === 'left' ? tf.matMul(basis, gradient, true) : tf.matMul(gradient, basis);
}

function present(inputs: Record<string, tf.Tensor | undefined>): tf.NamedTensorMap {
  const entries = Object.entries(inputs).filter(([, tensor]) => tensor !== undefined);
  return Object.fromEntries(entries) as tf.NamedTensorMap;
}
