import * as tf from '@tensorflow/tfjs-core';
import {OwLoreCrossEntropy, OwLoreCrossEntropyGrad} from '../kernels/llama/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import {readsSynchronously} from '../kernels/capabilities';
import {checkIds} from './ids';

/** Logits that are worked on at a time, if not many more are alive anyway; 1 MB. */
export const CHUNK_SIZE = 2 ** 18;

/** What each row should predict. */
export interface Targets {
  /** Label ids `[rows]`, 0 in place of those that are not counted. */
  ids: tf.Tensor;
  /** Weights `[rows]` in the mean over the counted labels. */
  weights: tf.Tensor;
}

/**
 * Reads labels of any shape and dtype, one for each of `rows`; negative ones are not counted. On a backend that cannot be read
 * within a step, a label that is not below `vocab` makes the loss NaN.
 *
 * @throws if there are more labels or fewer, or one is not a whole number below `vocab`.
 */
export function readTargets(labels: tf.Tensor, rows: number, vocab: number): Targets {
  if (labels.size !== rows) {
    throw new Error(
      `sparseCrossEntropy: labels must be one for each of the ${rows} rows of logits; got ${labels.size}, ` +
        `[${labels.shape.join(',')}]`,
    );
  }
  checkIds(labels, {owner: 'sparseCrossEntropy: labels', vocab, allowsNegative: true});
  const given = tf.cast(tf.reshape(labels, [-1]), 'int32');
  const counted = tf.cast(tf.greaterEqual(given, 0), 'float32');
  const weights = tf.div(counted, tf.maximum(tf.sum(counted), 1));
  const ids = tf.maximum(given, tf.scalar(0, 'int32'));
  if (readsSynchronously()) return {ids, weights};
  const isTooLarge = tf.greaterEqual(ids, tf.scalar(vocab, 'int32'));
  return {
    ids: tf.minimum(ids, tf.scalar(vocab - 1, 'int32')),
    weights: tf.where(isTooLarge, tf.fill(weights.shape, NaN), weights),
  };
}

/** `Σ weight · −log softmax(logits)[id]` over rows of `logits` `[rows, vocab]`. */
export function sumOfLosses(logits: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor): tf.Tensor {
  const fused = runKernel(OwLoreCrossEntropy, {logits, labels: ids, weights})?.[0];
  if (fused) return fused;
  const labelLogits = tf.gatherND(logits, positions(ids));
  return tf.sum(tf.mul(weights, tf.sub(tf.logSumExp(logits, -1), labelLogits)));
}

/** Its gradient by the logits: `weight · (softmax(logits) − 1 at id)`. */
export function lossGradients(logits: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor): tf.Tensor {
  const inputs = {logits, labels: ids, weights};
  const fused = runKernel(OwLoreCrossEntropyGrad, inputs, {withLoss: false})?.[0];
  if (fused) return fused;
  const weighted = tf.mul(tf.softmax(logits), tf.expandDims(weights, 1));
  const at = positions(ids);
  return tf.tensorScatterUpdate(weighted, at, tf.sub(tf.gatherND(weighted, at), weights));
}

/** {@link sumOfLosses} and {@link lossGradients}; where a kernel computes both, the exponentials are computed once. */
export function lossAndGradients(
  logits: tf.Tensor,
  ids: tf.Tensor,
  weights: tf.Tensor,
): [loss: tf.Tensor, gradients: tf.Tensor] {
  const inputs = {logits, labels: ids, weights};
  const fused = runKernel(OwLoreCrossEntropyGrad, inputs, {withLoss: true});
  if (fused) return [fused[1]!, fused[0]!];
  return [sumOfLosses(logits, ids, weights), lossGradients(logits, ids, weights)];
}

/** Row and column of each row's label, `[rows, 2]`. */
function positions(ids: tf.Tensor): tf.Tensor {
  return tf.stack([tf.range(0, ids.shape[0], 1, 'int32'), ids], 1);
}
