import * as tf from '@tensorflow/tfjs-core';
import {linear} from './linear';
import {rotate, rotaryTable, type RotaryOptions} from './rotary';

/**
 * Added to the score of a key that a query may not see; finite, since −∞ makes NaN gradients where
 * all are hidden.
 */
const HIDDEN = -1e9;

export interface AttentionOptions extends RotaryOptions {
  numAttentionHeads: number;
  numKeyValueHeads: number;
}

/** Kernels `[in, out]`; in and out are `heads · headDim` on the side of the heads. */
export interface AttentionKernels {
  q: tf.Tensor;
  k: tf.Tensor;
  v: tf.Tensor;
  o: tf.Tensor;
}

/**
 * Causal self-attention with rotary positions 0, 1, …: `x` `[batch, seq, hidden]` to the same
 * shape.
 *
 * Each key and value head serves `numAttentionHeads / numKeyValueHeads` query heads in a row
 * (grouped queries, Ainslie et al. 2023); those queries are stacked below each other, so that no
 * key is copied.
 */
export function attention(
  x: tf.Tensor,
  kernels: AttentionKernels,
  options: AttentionOptions,
): tf.Tensor {
  const {numAttentionHeads, numKeyValueHeads, headDim} = options;
  const [batch, seq] = x.shape as [number, number, number];
  const groupSize = numAttentionHeads / numKeyValueHeads;
  const table = rotaryTable(seq, options);

  const q = rotate(splitHeads(linear(x, kernels.q), numAttentionHeads), table);
  const k = rotate(splitHeads(linear(x, kernels.k), numKeyValueHeads), table);
  const v = splitHeads(linear(x, kernels.v), numKeyValueHeads);

  const stackedQueries = tf.reshape(q, [batch, numKeyValueHeads, groupSize * seq, headDim]);
  const scores = tf.mul(tf.matMul(stackedQueries, k, false, true), headDim ** -0.5);
  const perHead = tf.reshape(scores, [batch * numAttentionHeads, seq, seq]);
  const weights = tf.softmax(tf.add(perHead, causalMask(seq)));
  const stackedWeights = tf.reshape(weights, [batch, numKeyValueHeads, groupSize * seq, seq]);
  const mixed = tf.reshape(tf.matMul(stackedWeights, v), [batch, numAttentionHeads, seq, headDim]);

  return linear(joinHeads(mixed), kernels.o);
}

/** `[batch, seq, heads · headDim]` to `[batch, heads, seq, headDim]`. */
function splitHeads(x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, seq] = x.shape as [number, number, number];
  return tf.transpose(tf.reshape(x, [batch, seq, heads, -1]), [0, 2, 1, 3]);
}

/** `[batch, heads, seq, headDim]` to `[batch, seq, heads · headDim]`. */
function joinHeads(x: tf.Tensor): tf.Tensor {
  const [batch, , seq] = x.shape as [number, number, number, number];
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, seq, -1]);
}

/** `[seq, seq]`: 0 where the key (column) is not after the query (row), else `HIDDEN`. */
function causalMask(seq: number): tf.Tensor {
  const positions = tf.range(0, seq);
  const later = tf.greater(tf.expandDims(positions, 0), tf.expandDims(positions, 1));
  return tf.mul(tf.cast(later, 'float32'), HIDDEN);
}
