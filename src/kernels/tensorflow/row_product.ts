import type * as tf from '@tensorflow/tfjs-core';
import type {NativeKernel} from './kernel';

/** The name under which its runs are counted. */
export const ROW_PRODUCT = 'rowProduct';

/** Numbers of the smallest matrix for which starting a graph is worth it. */
const LARGE = 2 ** 22;

/** Whether a product is that of one row with a large transposed matrix. */
export function isRowProduct(
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  {transposeA, transposeB}: tf.BatchMatMulAttrs,
): boolean {
  if (transposeA || !transposeB || a.shape.length !== 2 || b.shape.length !== 2) return false;
  const [columns, inner] = b.shape as [number, number];
  return a.shape[0] === 1 && columns % 2 === 0 && columns * inner >= LARGE;
}

/**
 * `a` `[1, in]` times `b` `[out, in]`, transposed: the head applied to one position. TensorFlow multiplies a single row in one thread;
 * two halves of `b`, which are parts of its memory, are two ops, which a graph runs at a time.
 */
export const rowProduct: NativeKernel<object> = (ops, inputs) => {
  const [a, b] = [inputs['a']!, inputs['b']!];
  const [columns, inner] = b.shape as [number, number];
  const half = columns / 2;
  const parts = [0, half].map((from) =>
    ops.matMul(a, ops.slice(b, [from, 0], [half, inner]), false, true),
  );
  return ops.concat(parts, 1);
};
