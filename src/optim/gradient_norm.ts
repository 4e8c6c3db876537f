import * as tf from '@tensorflow/tfjs-core';
import {OwLoreSquaredNorm} from '../kernels/kernel_names';
import {runKernel} from '../kernels/run_kernel';

/** PyTorch's guard against a norm of zero (`torch.nn.utils.clip_grad_norm_`). */
const CLIP_EPSILON = 1e-6;

/** ‖g‖², a scalar; a NaN or infinite entry makes it so. */
export function squaredNorm(gradient: tf.Tensor): tf.Scalar {
  const [fused] = runKernel(OwLoreSquaredNorm, {x: gradient}) ?? [];
  if (fused) return fused as tf.Scalar;
  return tf.tidy(() => {
    // Rows first, then their sums: float32 loses less than in one long sum.
    const rows = tf.sum(tf.square(gradient), gradient.rank > 0 ? -1 : undefined);
    return tf.sum(rows);
  });
}

/** The factor min(1, clipNorm/(norm + 1e-6)), a scalar, with one norm over all gradients (PyTorch's). */
export function clipFactor(squared: tf.Tensor1D, clipNorm: number): tf.Scalar {
  const norm = tf.sqrt(tf.sum(squared));
  return tf.minimum(1, tf.div(clipNorm, tf.add(norm, CLIP_EPSILON)));
}
