import * as tf from '@tensorflow/tfjs-core';

/** PyTorch's guard against a norm of zero (`torch.nn.utils.clip_grad_norm_`). */
const CLIP_EPSILON = 1e-6;

/** ‖g‖² of each of at least one gradient, a tensor [n]. A NaN or infinite entry makes its own sum so. */
export function squaredNorms(gradients: readonly tf.Tensor[]): tf.Tensor1D {
  // Rows first, then their sums: float32 loses less than in one long sum.
  const sums = gradients.map((gradient) =>
    tf.sum(tf.sum(tf.square(gradient), gradient.rank > 0 ? -1 : undefined)),
  );
  return tf.stack(sums) as tf.Tensor1D;
}

/** The factor min(1, clipNorm/(norm + 1e-6)), a scalar, with one norm over all gradients (PyTorch's). */
export function clipFactor(squared: tf.Tensor1D, clipNorm: number): tf.Scalar {
  const norm = tf.sqrt(tf.sum(squared));
  return tf.minimum(1, tf.div(clipNorm, tf.add(norm, CLIP_EPSILON)));
}
