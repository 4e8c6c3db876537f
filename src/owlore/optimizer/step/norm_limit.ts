import * as tf from '@tensorflow/tfjs-core';
import {UNIT} from './finite_check';
import {tidy} from '../../../tfjs/engine';

/**
 * The scalar that every gradient of a step is to be multiplied by, at most 1; null: 1. It is not read back. Where a squared norm is beyond
 * float32, the global norm is also limited to {@link MAX_NORM}.
 *
 * @param squaredNorms ‖G‖² of each variable.
 * @param scaledNorms ‖2⁻⁸⁰·G‖² of each variable; null: all squares and their sum are within float32.
 * @param clipNorm The option.
 */
export function normFactor(
  squaredNorms: readonly tf.Scalar[],
  scaledNorms: readonly tf.Scalar[] | null,
  clipNorm: number | null,
): tf.Scalar | null {
  if (clipNorm === null && !scaledNorms) return null;
  return tidy('normFactor', () => {
    let norm: tf.Scalar = tf.sqrt(tf.sum(tf.stack([...squaredNorms])));
    const factors: tf.Scalar[] = [];
    if (scaledNorms) {
      const isWithin = tf.isFinite(norm);
      norm = tf.where(isWithin, norm, tf.div(tf.sqrt(tf.sum(tf.stack([...scaledNorms]))), UNIT));
      factors.push(tf.where(isWithin, tf.scalar(1), tf.div(MAX_NORM, norm)));
    }
    if (clipNorm !== null) factors.push(clipFactor(norm, clipNorm));
    return factors.reduce((a, b): tf.Scalar => tf.minimum(a, b));
  });
}

/**
 * The largest global norm where the squared norm is beyond float32: Adam's second moments would be, too, and what is infinite once moves
 * nothing any more. Adam's step depends little on it, because it does not change with the scale of the gradients.
 */
const MAX_NORM = 2 ** 60;

/** PyTorch's guard against a norm of zero (`torch.nn.utils.clip_grad_norm_`). */
const CLIP_EPSILON = 1e-6;

/** min(1, clipNorm/(norm + 1e-6)), as PyTorch's. */
function clipFactor(norm: tf.Scalar, clipNorm: number): tf.Scalar {
  return tf.minimum(1, tf.div(clipNorm, tf.add(norm, CLIP_EPSILON)));
}
