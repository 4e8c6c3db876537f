import type * as tf from '@tensorflow/tfjs-core';
import {OwLoreMoments, type OwLoreMomentsAttrs, type OwLoreMomentsInputs} from '../kernel_names';
import {elementwise} from './elementwise';
import {float, type KernelArgs} from './program';

interface Variant {
  clipped: boolean;
  squared: boolean;
  fromAverage: boolean;
}

const code = ({clipped, squared, fromAverage}: Variant): string => `
  fn next(index : i32) -> Value {
    let average = old[index];
    let g = gradient[index]${clipped ? ' * clip[0]' : ''};
    let value = ${squared ? 'g * g' : 'g'};
    return ${fromAverage ? 'average' : 'value'} + (value - average) * uniforms.part;
  }`;

/** Two dispatches: a program of tfjs has one output. */
export function moments({
  inputs: {first, second, gradient, clip, mask},
  backend,
  attrs: {beta1, beta2},
}: KernelArgs<OwLoreMomentsInputs, OwLoreMomentsAttrs>): tf.TensorInfo[] {
  const average = (old: tf.TensorInfo, beta: number, squared: boolean): tf.TensorInfo => {
    // From the nearer end, as `movingAverage` in optim/adam does.
    const fromAverage = beta > 0.5;
    return elementwise(backend, {
      name: OwLoreMoments,
      variant: {clipped: clip !== undefined, squared, fromAverage},
      code,
      tensors: {old, gradient},
      scalars: {clip, mask},
      uniforms: [float('part', fromAverage ? 1 - beta : -beta)],
    });
  };
  return [average(first, beta1, false), average(second, beta2, true)];
}
