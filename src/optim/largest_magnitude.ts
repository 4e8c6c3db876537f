import * as tf from '@tensorflow/tfjs-core';

/** Smallest normal float32: divides zeros into zeros. */
const SMALLEST = 2 ** -126;

/** max|x| of all numbers, or of those along an axis, which stays with length 1; never 0, so that it can divide. */
export function largestMagnitude(x: tf.Tensor, axis?: number): tf.Tensor {
  return tf.tidy(() => tf.maximum(tf.max(tf.abs(x), axis, axis !== undefined), SMALLEST));
}
