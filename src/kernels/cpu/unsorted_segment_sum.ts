import * as tf from '@tensorflow/tfjs-core';
import {addSegments} from '../segment_sums';
import type {CpuKernelArgs} from './cpu_backend';

/**
 * UnsortedSegmentSum, the gradient of a gather and so of every Embedding: adds each row of `x` to the row of the output that
 * its id names. The cpu backend's own kernel goes over all of `x` once for every segment.
 *
 * A row whose id is negative or not below `numSegments` is dropped; a segment without rows is zero.
 */
export function unsortedSegmentSum({
  inputs: {x, segmentIds},
  backend,
  attrs: {numSegments},
}: CpuKernelArgs<
  Record<'x' | 'segmentIds', tf.TensorInfo>,
  tf.UnsortedSegmentSumAttrs
>): tf.TensorInfo {
  const {data} = backend;
  const rowShape = x.shape.slice(1);
  const rowSize = tf.util.sizeFromShape(rowShape);
  const values = data.get(x.dataId).values;
  const ids = data.get(segmentIds.dataId).values;
  // tfjs has no sums of strings: a TensorInfo may be of any type.
  const sums = tf.util.makeZerosTypedArray(numSegments * rowSize, x.dtype as tf.NumericDataType);
  addSegments(sums, values, ids, rowSize);
  return backend.makeTensorInfo([numSegments, ...rowShape], x.dtype, sums);
}
