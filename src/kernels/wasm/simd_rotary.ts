import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreRotaryAttrs} from '../llama_kernel_names';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreRotary. */
export function simdRotary(
  module: SimdModule,
  {inputs: {x, cos, sin}, backend, attrs}: KernelArgs<'x' | 'cos' | 'sin', OwLoreRotaryAttrs>,
): tf.TensorInfo {
  const [length, width] = x.shape.slice(-2) as [number, number];
  const y = allocate(backend, x.shape);
  module.rotate(
    addressOf(backend, x),
    addressOf(backend, cos),
    addressOf(backend, sin),
    tf.util.sizeFromShape(x.shape.slice(0, -2)),
    length,
    width,
    attrs.inverse,
    addressOf(backend, y),
  );
  return y;
}
