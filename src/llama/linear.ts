import * as tf from '@tensorflow/tfjs-core';

/**
 * `x` `[batch, seq, in]` times `kernel` `[in, out]`: `[batch, seq, out]`.
 *
 * As one product of two matrices, the case for which every backend has its fastest code. With
 * `transposed`, the kernel is `[out, in]`.
 */
export function linear(x: tf.Tensor, kernel: tf.Tensor, transposed = false): tf.Tensor {
  const [batch, seq, width] = x.shape as [number, number, number];
  const rows = tf.reshape(x, [batch * seq, width]);
  return tf.reshape(tf.matMul(rows, kernel, false, transposed), [batch, seq, -1]);
}
