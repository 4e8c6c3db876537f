import * as tf from '@tensorflow/tfjs-core';

/** The shapes of a product of stacks of matrices. */
export interface MatMulShapes {
  rows: number;
  inner: number;
  columns: number;
  /** Shapes of the stacks, and the one to which both are broadcast. */
  batchA: number[];
  batchB: number[];
  batch: number[];
  outShape: number[];
}

export function matMulShapes(
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  {transposeA, transposeB}: tf.BatchMatMulAttrs,
): MatMulShapes {
  const [rows, inner] = matrixShape(a, transposeA);
  const [, columns] = matrixShape(b, transposeB);
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  return {rows, inner, columns, batchA, batchB, batch, outShape: [...batch, rows, columns]};
}

/** Rows and columns of each matrix of the stack, after the transposition. */
function matrixShape(x: tf.TensorInfo, transposed: boolean): [number, number] {
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

/**
 * For each entry of the batch shape `to`, the index of the entry of the batch shape `from` that is broadcast to it.
 */
export function broadcastIndices(from: number[], to: number[]): number[] {
  let indices = [0];
  let stride = tf.util.sizeFromShape(from);
  to.forEach((size, axis) => {
    const fromSize = from[axis - (to.length - from.length)] ?? 1;
    stride /= fromSize;
    const step = fromSize === 1 ? 0 : stride;
    indices = indices.flatMap((index) => Array.from({length: size}, (_, i) => index + i * step));
  });
  return indices;
}
