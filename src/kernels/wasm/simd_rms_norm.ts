import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreRMSNormAttrs} from '../llama/kernel_names';
import {addressOf, allocate, withWorkspace, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreRMSNorm. */
export function simdRMSNorm(
  module: SimdModule,
  {inputs: {x, weight}, backend, attrs}: KernelArgs<'x' | 'weight', OwLoreRMSNormAttrs>,
): tf.TensorInfo {
  const {rows, width} = sizes(x);
  const y = allocate(backend, x.shape);
  module.rmsNorm({
    x: addressOf(backend, x),
    weight: addressOf(backend, weight),
    y: addressOf(backend, y),
    rows,
    width,
    epsilon: attrs.epsilon,
  });
  return y;
}

/** OwLoreRMSNormGrad. */
export function simdRMSNormGrad(
  module: SimdModule,
  {inputs: {dy, x, weight}, backend, attrs}: KernelArgs<'dy' | 'x' | 'weight', OwLoreRMSNormAttrs>,
): tf.TensorInfo[] {
  const {rows, width} = sizes(x);
  const dx = allocate(backend, x.shape);
  const dWeight = allocate(backend, weight.shape);
  withWorkspace(backend, 4 * rows, (scales) => {
    const given = {dy: addressOf(backend, dy), x: addressOf(backend, x), rows, scales};
    module.rmsNormGradient({
      ...given,
      width,
      epsilon: attrs.epsilon,
      weight: addressOf(backend, weight),
      dx: addressOf(backend, dx),
    });
    const columns = {columns: width, step: 4 * width};
    module.rmsNormWeightGradient({...given, ...columns, dWeight: addressOf(backend, dWeight)});
  });
  return [dx, dWeight];
}

function sizes(x: tf.TensorInfo): {rows: number; width: number} {
  return {rows: tf.util.sizeFromShape(x.shape.slice(0, -1)), width: x.shape.at(-1)!};
}
