import type * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {
  OwLoreAdam,
  updateInputs,
  type OwLoreAdamAttrs,
  type OwLoreAdamInputs,
  type OwLoreUpdate,
  type OwLoreUpdateInputs,
} from '../kernel_names';
import {elementwise} from './elementwise';
import {float, type KernelArgs} from './program';
import {adamStepCode, projectedStep, stepUniforms} from './projected_step';

/** The inputs of one variable, and what all share. */
type AdamInputs = OwLoreUpdateInputs & Pick<OwLoreAdamInputs, 'clip' | 'allFinite'>;

/** Three dispatches per variable, because a program of tfjs has one output. No input is freed before the last dispatch. */
export function adam({
  inputs,
  backend,
  attrs: {beta1, beta2, updates},
}: KernelArgs<OwLoreAdamInputs, OwLoreAdamAttrs>): tf.TensorInfo[] {
  const {clip, allFinite} = inputs;
  return updates.flatMap((update, i) => {
    const old: AdamInputs = {...updateInputs(inputs, i), clip, allFinite};
    const first = averageOf(backend, old, 'first', beta1);
    const second = averageOf(backend, old, 'second', beta2);
    const next = {...old, first, second};
    const variable = old.basis
      ? projectedStep(backend, {...next, basis: old.basis}, update)
      : step(backend, next, update);
    return [variable, first, second];
  });
}

interface AverageVariant {
  clipped: boolean;
  squared: boolean;
  fromAverage: boolean;
}

const averageCode = ({clipped, squared, fromAverage}: AverageVariant): string => `
  fn next(index : i32) -> Value {
    let average = old[index];
    let g = gradient[index]${clipped ? ' * clip[0]' : ''};
    let value = ${squared ? 'g * g' : 'g'};
    return ${fromAverage ? 'average' : 'value'} + (value - average) * uniforms.part;
  }`;

/** A moment updated by the gradient. */
function averageOf(
  backend: WebGPUBackend,
  inputs: AdamInputs,
  moment: 'first' | 'second',
  beta: number,
): tf.TensorInfo {
  const {gradient, clip, allFinite} = inputs;
  // From the nearer end, as `movingAverage` in owlore/optimizer/step/adam does.
  const fromAverage = beta > 0.5;
  return elementwise(backend, {
    name: `${OwLoreAdam} average`,
    variant: {clipped: clip !== undefined, squared: moment === 'second', fromAverage},
    code: averageCode,
    tensors: {old: inputs[moment], gradient},
    scalars: {clip, allFinite},
    uniforms: [float('part', fromAverage ? 1 - beta : -beta)],
  });
}

const stepCode = (): string => `
  ${adamStepCode}
  fn next(index : i32) -> Value {
    return uniforms.decay * variable[index] - adamStep(first[index], second[index]);
  }`;

/** The variable after a step with these moments. */
function step(
  backend: WebGPUBackend,
  {variable, first, second, allFinite}: AdamInputs,
  update: OwLoreUpdate,
): tf.TensorInfo {
  return elementwise(backend, {
    name: `${OwLoreAdam} step`,
    variant: {},
    code: stepCode,
    tensors: {variable, first, second},
    scalars: {allFinite},
    uniforms: stepUniforms(update),
  });
}
