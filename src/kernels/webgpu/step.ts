import type * as tf from '@tensorflow/tfjs-core';
import {OwLoreStep, type OwLoreStepAttrs, type OwLoreStepInputs} from '../kernel_names';
import {elementwise} from './elementwise';
import {float, type KernelArgs, type Uniform} from './program';

/** WGSL: N of one or four moments. A second moment of 0 with epsilon 0 gives NaN or infinity, as in the composed step. */
export const adamStepCode = `
  fn adamStep(first : Value, second : Value) -> Value {
    return uniforms.rate * first / (sqrt(second) + uniforms.epsilon);
  }`;

export function stepUniforms({rate, epsilon, decay}: OwLoreStepAttrs): Uniform[] {
  return [float('rate', rate), float('epsilon', epsilon), float('decay', decay)];
}

const code = (): string => `
  ${adamStepCode}
  fn next(index : i32) -> Value {
    return uniforms.decay * variable[index] - adamStep(first[index], second[index]);
  }`;

/** One dispatch. */
export function step({
  inputs: {variable, first, second, mask},
  backend,
  attrs,
}: KernelArgs<OwLoreStepInputs, OwLoreStepAttrs>): tf.TensorInfo {
  return elementwise(backend, {
    name: OwLoreStep,
    variant: {},
    code,
    tensors: {variable, first, second},
    scalars: {mask},
    uniforms: stepUniforms(attrs),
  });
}
