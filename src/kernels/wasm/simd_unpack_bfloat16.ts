import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreUnpackBfloat16. */
export function simdUnpackBfloat16(
  module: SimdModule,
  {inputs: {packed}, backend, attrs: {shape}}: KernelArgs<'packed', OwLoreUnpackBfloat16Attrs>,
): tf.TensorInfo {
  const y = allocate(backend, shape);
  module.unpackBfloat16({
    packed: addressOf(backend, packed),
    size: tf.util.sizeFromShape(shape),
    y: addressOf(backend, y),
  });
  return y;
}
