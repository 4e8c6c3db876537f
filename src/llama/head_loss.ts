import * as tf from '@tensorflow/tfjs-core';
import {inChunks} from './chunks';
import {customOp} from './custom_op';
import type {HeadKernel} from './deferred_head';
import {CHUNK_SIZE, lossGradients, readTargets, sumOfLosses} from './row_losses';
import {headGradient} from './vocabulary_gradient';
import {termAxisOf} from '../tape/recording';

/** The logits of a chunk are at most this part of the head's kernel, where that is large. */
const PART_OF_KERNEL = 1 / 4;

/**
 * Head and mean cross-entropy in one: the logits of some rows at a time, and again for the gradient
 * (as Liger Kernel's fused linear cross-entropy, Hsu et al. 2024). All logits of a batch together
 * can be larger than the rest of a training step.
 *
 * @param labels `[batch, seq, 1]` or `[batch, seq]`; negative ones are not counted.
 * @param hidden `[batch, seq, hidden]`.
 */
export function headCrossEntropy(
  labels: tf.Tensor,
  hidden: tf.Tensor,
  {kernel, transposed}: HeadKernel,
): tf.Scalar {
  const width = hidden.shape.at(-1)!;
  const chunkSize = Math.max(CHUNK_SIZE, kernel.size * PART_OF_KERNEL);
  const rows = Math.max(1, Math.floor((chunkSize * width) / kernel.size));
  const perToken = tf.reshape(hidden, [-1, width]);
  const axis = transposed ? 0 : 1;
  const vocab = kernel.shape[axis]!;
  const inTerms = termAxisOf(kernel) === axis;
  const {ids, weights} = readTargets(labels, perToken.shape[0], vocab);
  return customOp({
    inputs: [perToken, kernel],
    kept: [perToken, kernel, ids, weights],
    forward: () =>
      inChunks([perToken, ids, weights], rows, (x, y, w) => {
        const logits = applyHead(x, {kernel, transposed});
        return {summed: [sumOfLosses(logits, y, w)]};
      }).summed[0]!,
    gradient: (dy, kept, [hiddenNeeded, kernelNeeded]) => {
      const [perToken, kernel, ids, weights] = kept as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const head = {kernel, transposed};
      const weighted = tf.mul(weights, dy);
      const {joined, summed} = inChunks([perToken, ids, weighted], rows, (x, y, w) => {
        const [dLogits, logSumExp] = tf.tidy<[tf.Tensor, tf.Tensor[]]>(() => {
          const logits = applyHead(x, head);
          const sums = kernelNeeded && inTerms ? [tf.logSumExp(logits, -1)] : [];
          return [lossGradients(logits, y, w), sums];
        });
        return {
          joined: [...logSumExp, ...(hiddenNeeded ? [hiddenGradient(dLogits, head)] : [])],
          summed: kernelNeeded && !inTerms ? [kernelGradient(dLogits, x, head)] : [],
        };
      });
      const dHidden = hiddenNeeded ? joined.at(-1)! : null;
      if (!kernelNeeded || !inTerms) return [dHidden, summed[0] ?? null];
      const terms = {hidden: perToken, logSumExp: joined[0]!, labels: ids, weights: weighted};
      return [dHidden, headGradient(kernel.shape as [number, number], axis, terms)];
    },
  }) as tf.Scalar;
}

/*
 * Where one of two factors must be transposed, it is the one with few rows and not the kernel, because the
 * wasm backend copies what it transposes.
 */

/** Logits `[rows, vocab]` of hidden states `[rows, hidden]`. */
function applyHead(hidden: tf.Tensor, {kernel, transposed}: HeadKernel): tf.Tensor {
  if (!transposed) return tf.matMul(hidden, kernel);
  return tf.transpose(tf.matMul(kernel, hidden, false, true));
}

function hiddenGradient(dLogits: tf.Tensor, {kernel, transposed}: HeadKernel): tf.Tensor {
  if (transposed) return tf.matMul(dLogits, kernel);
  return tf.transpose(tf.matMul(kernel, dLogits, false, true));
}

function kernelGradient(
  dLogits: tf.Tensor,
  hidden: tf.Tensor,
  {transposed}: HeadKernel,
): tf.Tensor {
  return transposed ? tf.matMul(dLogits, hidden, true) : tf.matMul(hidden, dLogits, true);
}
