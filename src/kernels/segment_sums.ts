/** What the kernels of UnsortedSegmentSum for cpu and for wasm without SIMD share. */
import type * as tf from '@tensorflow/tfjs-core';

/**
 * Adds each row of `values` to the row of `sums` that its id names. A row whose id is negative or names none is dropped.
 *
 * @param rowSize Numbers in a row.
 */
export function addSegments(
  sums: tf.TypedArray,
  values: ArrayLike<number>,
  ids: ArrayLike<number>,
  rowSize: number,
): void {
  for (let row = 0; row < ids.length; row++) {
    const [from, to] = [row * rowSize, ids[row]! * rowSize];
    if (to < 0 || to >= sums.length) continue;
    for (let i = 0; i < rowSize; i++) sums[to + i]! += values[from + i]!;
  }
}
