import * as tf from '@tensorflow/tfjs-core';
import {smallestNormal} from './capabilities';
import {OwLoreSquaredNorm} from './kernel_names';
import {runKernel} from './run_kernel';

/** ‖g‖², a scalar; NaN or infinite if an entry is. */
export function squaredNorm(gradient: tf.Tensor): tf.Scalar {
  const [fused] = runKernel(OwLoreSquaredNorm, {x: gradient}) ?? [];
  if (fused) return fused as tf.Scalar;
  return tf.tidy(() => {
    // Rows first, then their sums: float32 loses less than in one long sum.
    const rows = tf.sum(tf.square(gradient), gradient.rank > 0 ? -1 : undefined);
    return tf.sum(rows);
  });
}

/** max|x| of all numbers, or of each column with axis 0; never 0, so that one can divide by it. */
export function largestMagnitude(x: tf.Tensor, axis?: 0): tf.Tensor {
  return tf.tidy(() => tf.maximum(tf.max(tf.abs(x), axis), smallestNormal()));
}
