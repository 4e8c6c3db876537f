import * as tf from '@tensorflow/tfjs-core';
import {addSegments} from '../segment_sums';
import {addressOf, allocate, type KernelArgs, type WasmKernel} from './kernel';
import type {SimdModule} from './simd_module';

type SegmentSumArgs = KernelArgs<'x' | 'segmentIds', tf.UnsortedSegmentSumAttrs>;

/**
 * UnsortedSegmentSum, the gradient of a gather and so of every Embedding, which the wasm backend
 * lacks.
 *
 * Adds each row of `x` to the row of the output that its id names, on the heap. A row whose id is
 * negative or not below `numSegments` is dropped; a segment without rows is zero.
 */
export const unsortedSegmentSum: WasmKernel<'x' | 'segmentIds', tf.UnsortedSegmentSumAttrs> = ({
  inputs: {x, segmentIds},
  backend,
  attrs: {numSegments},
}) => {
  const rowShape = x.shape.slice(1);
  const rowSize = tf.util.sizeFromShape(rowShape);
  const out = allocate(backend, [numSegments, ...rowShape], x.dtype);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const values = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  const sums = backend.typedArrayFromHeap(out).fill(0);
  addSegments(sums, values, ids, rowSize);
  return out;
};

/** The same by the module, for float32. */
export function simdUnsortedSegmentSum(
  module: SimdModule,
  {inputs: {x, segmentIds}, backend, attrs: {numSegments}}: SegmentSumArgs,
): tf.TensorInfo {
  const rowShape = x.shape.slice(1);
  const out = allocate(backend, [numSegments, ...rowShape]);
  module.addSegments({
    x: addressOf(backend, x),
    ids: addressOf(backend, segmentIds),
    rows: x.shape[0]!,
    width: tf.util.sizeFromShape(rowShape),
    sums: addressOf(backend, out),
    first: 0,
    segments: numSegments,
  });
  return out;
}
