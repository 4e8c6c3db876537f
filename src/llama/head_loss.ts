import * as tf from '@tensorflow/tfjs-core';
import {isRecording, needsGradient, termAxisOf} from '../tape/recording';
import {isInGradient} from '../tfjs/engine';
import {inChunks} from './chunks';
import {customOp} from './custom_op';
import type {HeadKernel} from './deferred_head';
import {vocabularyOf} from './head_pieces';
import {lossOverVocabulary} from './loss_over_vocabulary';
import {CHUNK_SIZE, lossGradients, readTargets, sumOfLosses, type Targets} from './row_losses';

/** The logits of a chunk are at most this part of the head's kernel, where that is large. */
const PART_OF_KERNEL = 1 / 4;

/**
 * Head and mean cross-entropy in one: only some logits exist at a time. All logits of a batch together can be larger than the rest
 * of a training step. They are those of some rows where the kernel's gradient is made as a whole (as in Liger Kernel's fused linear
 * cross-entropy, Hsu et al. 2024), and otherwise those of some tokens of the vocabulary.
 *
 * @param labels `[batch, seq, 1]` or `[batch, seq]`; negative ones are not counted.
 * @param hidden `[batch, seq, hidden]`.
 */
export function headCrossEntropy(
  labels: tf.Tensor,
  hidden: tf.Tensor,
  head: HeadKernel,
): tf.Scalar {
  const perToken = tf.reshape<tf.Rank.R2>(hidden, [-1, hidden.shape.at(-1)!]);
  const targets = readTargets(labels, perToken.shape[0], vocabularyOf(head));
  const {kernel, transposed} = head;
  const isWhole =
    kernel instanceof tf.Tensor &&
    (isRecording() || isInGradient()) &&
    needsGradient(kernel) &&
    termAxisOf(kernel) !== (transposed ? 0 : 1);
  if (!isWhole) return lossOverVocabulary(perToken, targets, head);
  return lossOverRows(perToken, targets, {kernel, transposed});
}

/** A head whose kernel is in float32. */
interface FloatHead {
  kernel: tf.Tensor;
  transposed: boolean;
}

/** By the logits of some rows at a time, and again for the gradient. */
function lossOverRows(perToken: tf.Tensor2D, targets: Targets, head: FloatHead): tf.Scalar {
  const {kernel, transposed} = head;
  const width = perToken.shape[1];
  const chunkSize = Math.max(CHUNK_SIZE, kernel.size * PART_OF_KERNEL);
  const rows = Math.max(1, Math.floor((chunkSize * width) / kernel.size));
  const {ids, weights} = targets;
  return customOp({
    inputs: [perToken, kernel],
    kept: [perToken, kernel, ids, weights],
    forward: () =>
      inChunks([perToken, ids, weights], rows, (x, y, w) => ({
        summed: [sumOfLosses(applyHead(x, head), y, w)],
      })).summed[0]!,
    gradient: (dy, kept, [hiddenNeeded, kernelNeeded]) => {
      const [perToken, kernel, ids, weights] = kept as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const head = {kernel, transposed};
      const weighted = tf.mul(weights, dy);
      const {joined, summed} = inChunks([perToken, ids, weighted], rows, (x, y, w) => {
        const dLogits = tf.tidy(() => lossGradients(applyHead(x, head), y, w));
        return {
          joined: hiddenNeeded ? [hiddenGradient(dLogits, head)] : [],
          summed: kernelNeeded ? [kernelGradient(dLogits, x, head)] : [],
        };
      });
      return [joined[0] ?? null, summed[0] ?? null];
    },
  }) as tf.Scalar;
}

/*
 * Where one of two factors must be transposed, it is the one with few rows and not the kernel, because the
 * wasm backend copies what it transposes.
 */

/** Logits `[rows, vocab]` of hidden states `[rows, hidden]`. */
function applyHead(hidden: tf.Tensor, {kernel, transposed}: FloatHead): tf.Tensor {
  if (!transposed) return tf.matMul(hidden, kernel);
  return tf.transpose(tf.matMul(kernel, hidden, false, true));
}

function hiddenGradient(dLogits: tf.Tensor, {kernel, transposed}: FloatHead): tf.Tensor {
  if (transposed) return tf.matMul(dLogits, kernel);
  return tf.transpose(tf.matMul(kernel, dLogits, false, true));
}

function kernelGradient(dLogits: tf.Tensor, hidden: tf.Tensor, {transposed}: FloatHead): tf.Tensor {
  return transposed ? tf.matMul(dLogits, hidden, true) : tf.matMul(hidden, dLogits, true);
}
