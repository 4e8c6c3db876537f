import type * as tf from '@tensorflow/tfjs-core';
import type {OwLorePackedMatMulAttrs} from '../llama/kernel_names';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLorePackedMatMul. */
export function simdPackedMatMul(
  module: SimdModule,
  {inputs: {x, packed}, backend, attrs}: KernelArgs<'x' | 'packed', OwLorePackedMatMulAttrs>,
): tf.TensorInfo {
  const {shape, transposed} = attrs;
  const [rows, inner] = x.shape as [number, number];
  const columns = shape[transposed ? 0 : 1];
  const y = allocate(backend, [rows, columns]);
  module.multiplyBfloat16({
    rows,
    columns,
    inner,
    transposeB: transposed,
    add: false,
    bStep: 2 * (transposed ? inner : columns),
    cStep: 4 * columns,
    a: addressOf(backend, x),
    b: addressOf(backend, packed),
    c: addressOf(backend, y),
  });
  return y;
}
