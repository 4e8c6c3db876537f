/**
 * The gradient of a matrix with a row for each token of the vocabulary, factored: the optimizer can take it so where the matrix is
 * projected, and the gradient [vocab, hidden] need not be made (`tape/factored_gradient`).
 */
import * as tf from '@tensorflow/tfjs-core';
import {defineTermKind, FactoredGradient, type GradientTerm} from '../tape/factored_gradient';

/**
 * Row `ids[i]` has `rows[i]` added to it: the gradient of an embedding, and of the labels' logits. The ids are float32, as all that
 * is saved of an optimizer is: the vocabulary has less than 2²⁴ tokens.
 */
const lookUps = defineTermKind({
  name: 'lookUps',
  axes: {ids: 1, rows: 2},
  scaled: 'rows',
  rowSize: () => 0,
  factor: ({rows}) => rows as tf.Tensor2D,
  rows({ids}, ys, {from, count}) {
    const places = tf.sub(ids!, from);
    const isInside = tf.logicalAnd(tf.greaterEqual(places, 0), tf.less(places, count));
    // A row of no place is left out.
    const segments = tf.cast(tf.where(isInside, places, tf.fill(places.shape, -1)), 'int32');
    return ys.map((y) => tf.unsortedSegmentSum<tf.Tensor2D>(y, segments as tf.Tensor1D, count));
  },
});

/**
 * Softmaxᵀ·(weights∘hidden), where row i of the softmax [n, vocab] is that of the logits `hidden[i]`·Wᵀ: the gradient of a head's
 * cross-entropy but for the labels' part. The logits are computed again, for some tokens of the vocabulary at a time.
 */
const softmaxes = defineTermKind({
  name: 'softmaxes',
  axes: {hidden: 2, logSumExp: 1, weights: 1},
  scaled: 'weights',
  rowSize: ({hidden}) => hidden!.shape[0],
  factor: ({hidden, weights}) => tf.mul(hidden!, tf.expandDims(weights!, 1)),
  rows({hidden, logSumExp}, ys, {weight}) {
    // [vocab, n]: the tokens of the vocabulary are the rows already.
    const probabilities = tf.tidy(() => {
      const logits = tf.matMul(weight(), hidden as tf.Tensor2D, false, true);
      return tf.exp(tf.sub(logits, logSumExp!));
    });
    return ys.map((y) => tf.matMul(probabilities, y));
  },
});

/** The axis of a weight that counts tokens: 0 for [vocab, hidden], 1 for [hidden, vocab]. */
export type VocabularyAxis = 0 | 1;

/**
 * The gradient of an embedding.
 *
 * @param ids Token ids, of any shape.
 * @param dy `[…, hidden]`, the gradient of the rows that were looked up.
 */
export function lookUpGradient(
  shape: [number, number],
  ids: tf.Tensor,
  dy: tf.Tensor,
): FactoredGradient {
  return FactoredGradient.kept(shape, 0, [lookUpTerm(ids, dy)]);
}

/** What the gradient of a head takes: `[n, hidden]`, and `[n]` of the others. */
export interface HeadTerms {
  hidden: tf.Tensor;
  /** log Σ exp of the logits of each position. */
  logSumExp: tf.Tensor;
  labels: tf.Tensor;
  /** Of each position's loss in the result, times the gradient of that. */
  weights: tf.Tensor;
}

/** The gradient of a head's weighted cross-entropy. */
export function headGradient(
  shape: [number, number],
  axis: VocabularyAxis,
  {hidden, logSumExp, labels, weights}: HeadTerms,
): FactoredGradient {
  const labelRows = tf.mul(hidden, tf.expandDims(tf.neg(weights), 1));
  const [ownHidden, ownSums, ownWeights] = [hidden, logSumExp, weights].map((x) => tf.clone(x));
  const tensors = {hidden: ownHidden!, logSumExp: ownSums!, weights: ownWeights!};
  return FactoredGradient.kept(shape, axis, [
    {kind: softmaxes, tensors},
    lookUpTerm(labels, labelRows),
  ]);
}

function lookUpTerm(ids: tf.Tensor, rows: tf.Tensor): GradientTerm {
  const width = rows.shape.at(-1)!;
  const tensors = {
    ids: tf.cast(tf.reshape(ids, [-1]), 'float32'),
    rows: tf.clone(tf.reshape(rows, [-1, width])),
  };
  return {kind: lookUps, tensors};
}
