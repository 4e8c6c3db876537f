import * as tf from '@tensorflow/tfjs-core';

/** What the kernels use of the cpu backend. */
export interface CpuBackend {
  data: {get(dataId: object): {values: tf.TypedArray}};
  makeTensorInfo(shape: number[], dtype: tf.DataType, values: tf.TypedArray): tf.TensorInfo;
}

/**
 * UnsortedSegmentSum, the gradient of a gather and so of every Embedding: adds each row of `x` to the row of the output that
 * its id names. The cpu backend's own kernel goes over all of `x` once for every segment.
 *
 * A row whose id is negative or not below `numSegments` is dropped; a segment without rows is zero.
 */
export const unsortedSegmentSum: tf.KernelFunc = ({inputs, backend, attrs}) => {
  const {x, segmentIds} = inputs as {x: tf.TensorInfo; segmentIds: tf.TensorInfo};
  // The kernel's name decides which attributes it has; tfjs gives all the same type.
  const {numSegments} = attrs as unknown as tf.UnsortedSegmentSumAttrs;
  const {data} = backend as CpuBackend;
  const rowShape = x.shape.slice(1);
  const rowSize = tf.util.sizeFromShape(rowShape);
  const values = data.get(x.dataId).values;
  const ids = data.get(segmentIds.dataId).values;
  const sums = tf.util.makeZerosTypedArray(numSegments * rowSize, x.dtype as tf.NumericDataType);
  ids.forEach((id, row) => {
    if (id < 0 || id >= numSegments) return;
    const [from, to] = [row * rowSize, id * rowSize];
    for (let i = 0; i < rowSize; i++) sums[to + i]! += values[from + i]!;
  });
  return (backend as CpuBackend).makeTensorInfo([numSegments, ...rowShape], x.dtype, sums);
};
