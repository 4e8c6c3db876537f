import * as tf from '@tensorflow/tfjs-core';
import {readsSynchronously} from '../kernels/capabilities';
import {isRecording, needsGradient, factoredAxisOf} from '../tape/recording';
import {isInGradient} from '../tfjs/engine';
import {inChunks} from './chunks';
import {customOp} from './custom_op';
import type {HeadKernel} from './deferred_head';
import {vocabularyOf} from './head_pieces';
import {markFresh} from '../tape/indexed_slices';
import {lossOverVocabulary} from './loss_over_vocabulary';
import {CHUNK_SIZE, lossAndGradients, readTargets, type Targets} from './row_losses';

/** The logits of a chunk are at most this part of the head's kernel, where that is large and all logits together are larger. */
const PART_OF_KERNEL = 1 / 4;

/** Backends prepare products and kernels for each number of rows anew, so that there should be few. */
export const ROWS_MULTIPLE = 64;

/**
 * Head and mean cross-entropy in one: only some logits exist at a time. All logits of a batch together can be larger than the rest
 * of a training step. They are those of some rows where the kernel's gradient is made as a whole (as in Liger Kernel's fused linear
 * cross-entropy, Hsu et al. 2024), and otherwise those of some tokens of the vocabulary.
 *
 * Hidden states whose labels are not counted get no logits, where a backend can tell which these are (prompts and padding can be more
 * than half of a batch).
 *
 * @param labels `[batch, seq, 1]` or `[batch, seq]`; negative ones are not counted.
 * @param hidden `[batch, seq, hidden]`.
 */
export function headCrossEntropy(
  labels: tf.Tensor,
  hidden: tf.Tensor,
  head: HeadKernel,
): tf.Scalar {
  const all = tf.reshape<tf.Rank.R2>(hidden, [-1, hidden.shape.at(-1)!]);
  const {ids, weights} = readTargets(labels, all.shape[0], vocabularyOf(head));
  const rows = countedRows(labels);
  const rowsOf = <T extends tf.Tensor>(x: T): T => (rows ? tf.gather(x, rows) : x);
  const perToken = rowsOf(all);
  const targets = {ids: rowsOf(ids), weights: rowsOf(weights)};
  const {kernel, transposed} = head;
  const isWhole =
    kernel instanceof tf.Tensor &&
    (isRecording() || isInGradient()) &&
    needsGradient(kernel) &&
    factoredAxisOf(kernel) !== (transposed ? 0 : 1);
  if (!isWhole) return lossOverVocabulary(perToken, targets, head);
  return lossOverRows(perToken, targets, {kernel, transposed});
}

/**
 * The numbers of the rows whose labels are counted, with some others that make them a multiple of {@link ROWS_MULTIPLE}. Null where
 * these are all rows, or the backend cannot be read within a step.
 */
function countedRows(labels: tf.Tensor): tf.Tensor1D | null {
  if (!readsSynchronously()) return null;
  const values = labels.dataSync();
  let count = 0;
  for (const label of values) count += Number(label >= 0);
  const size = ROWS_MULTIPLE * Math.max(1, Math.ceil(count / ROWS_MULTIPLE));
  if (size >= values.length) return null;
  const [counted, others]: [number[], number[]] = [[], []];
  values.forEach((label, row) => (label < 0 ? others : counted).push(row));
  return tf.tensor1d([...counted, ...others.slice(0, size - count)], 'int32');
}

/** A head whose kernel is in float32. */
interface FloatHead {
  kernel: tf.Tensor;
  transposed: boolean;
}

/**
 * By the logits of some rows at a time, which are made once: the gradients are computed with the loss, for a gradient 1 of the loss,
 * and multiplied by that gradient when it is known.
 */
function lossOverRows(perToken: tf.Tensor2D, targets: Targets, head: FloatHead): tf.Scalar {
  const {kernel, transposed} = head;
  const {ids, weights} = targets;
  const isHiddenNeeded = needsGradient(perToken);
  return customOp({
    inputs: [perToken, kernel],
    kept: [],
    keepsResults: true,
    forward: () => {
      const rows = rowsOfChunk(...perToken.shape, kernel.size);
      const {joined, summed} = inChunks([perToken, ids, weights], rows, (x, y, w) => {
        const logits = tf.matMul(x, kernel, false, transposed);
        const [loss, dLogits] = tf.tidy(() => lossAndGradients(logits, y, w));
        logits.dispose();
        const dHidden = isHiddenNeeded ? [tf.matMul(dLogits, kernel, false, !transposed)] : [];
        const dKernel = transposed ? tf.matMul(dLogits, x, true) : tf.matMul(x, dLogits, true);
        dLogits.dispose();
        return {joined: dHidden, summed: [loss, dKernel]};
      });
      const [loss, dKernel] = summed as [tf.Tensor, tf.Tensor];
      return [loss, dKernel, ...joined];
    },
    gradient: (dy, kept) => {
      const [, dKernel, dHidden] = kept as [tf.Tensor, tf.Tensor, tf.Tensor?];
      const isOne = readsSynchronously() && dy.dataSync()[0] === 1;
      const times = (x: tf.Tensor): tf.Tensor => (isOne ? tf.clone(x) : tf.mul(x, dy));
      return [dHidden ? times(dHidden) : null, markFresh(times(dKernel))];
    },
  }) as tf.Scalar;
}

/** How many of `rows` hidden states of some width have their logits at a time, with a head of `kernelSize` numbers. */
export function rowsOfChunk(rows: number, width: number, kernelSize: number): number {
  if (rows <= width) return rows; // no more logits than the kernel has numbers
  const chunkSize = Math.max(CHUNK_SIZE, kernelSize * PART_OF_KERNEL);
  return Math.min(rows, Math.max(1, Math.floor((chunkSize * width) / kernelSize)));
}
