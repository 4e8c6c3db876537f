import * as tf from '@tensorflow/tfjs-core';

/**
 * Sets the rows of padded tokens to 0. `mask` `[batch, seq]` is 1 for tokens that count; it applies
 * if the axes of `values` other than `featureAxes` hold batch·seq rows; otherwise all rows count.
 */
export function maskRows(
  values: tf.Tensor,
  featureAxes: readonly number[],
  mask: tf.Tensor,
): tf.Tensor {
  const rows = values.shape.map((size, axis) => (featureAxes.includes(axis) ? 1 : size));
  if (rows.reduce((a, b) => a * b, 1) !== mask.size) return values;
  return tf.mul(values, tf.reshape(tf.cast(mask, 'float32'), rows));
}
