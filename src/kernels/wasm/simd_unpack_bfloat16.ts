import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {OwLoreUnpackRowsAttrs, OwLoreUnpackWindowAttrs} from '../llama/kernel_names';
import {addressOf, allocate, indexOutside, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** Bytes of a bfloat16, and of a float32. */
const [HALF, WHOLE] = [2, 4];

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

/** OwLoreUnpackWindow. */
export function simdUnpackWindow(
  module: SimdModule,
  {inputs: {packed}, backend, attrs}: KernelArgs<'packed', OwLoreUnpackWindowAttrs>,
): tf.TensorInfo {
  const {columns, begin, shape} = attrs;
  const y = allocate(backend, shape);
  const from = addressOf(backend, packed) + HALF * (begin[0] * columns + begin[1]);
  const to = addressOf(backend, y);
  // Whole rows are one piece of memory.
  const [count, width] = shape[1] === columns ? [1, shape[0] * columns] : shape;
  for (let i = 0; i < count; i++) {
    const row = {packed: from + HALF * i * columns, size: width, y: to + WHOLE * i * width};
    module.unpackBfloat16(row);
  }
  return y;
}

/** OwLoreUnpackRows. */
export function simdUnpackRows(
  module: SimdModule,
  {inputs: {packed, ids}, backend, attrs}: KernelArgs<'packed' | 'ids', OwLoreUnpackRowsAttrs>,
): tf.TensorInfo {
  const {columns} = attrs;
  const rows = Math.floor((2 * packed.shape[0]!) / columns);
  const wrong = indexOutside(backend.typedArrayFromHeap(ids), rows);
  tf.util.assert(
    wrong === undefined,
    () => `OwLoreUnpackRows on wasm: the id ${wrong} is not in [0, ${rows - 1}]`,
  );
  const y = allocate(backend, [...ids.shape, columns]);
  const [from, to] = [addressOf(backend, packed), addressOf(backend, y)];
  // The array is made after the allocation: growing the heap detaches older ones.
  backend.typedArrayFromHeap(ids).forEach((id, i) => {
    module.unpackBfloat16({
      packed: from + HALF * id * columns,
      size: columns,
      y: to + WHOLE * i * columns,
    });
  });
  return y;
}
