import * as tf from '@tensorflow/tfjs-core';
import {causalAttention} from './causal_attention';
import {rotate, rotaryTable, type RotaryOptions} from './rotary';

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
 * (grouped queries, Ainslie et al. 2023).
 */
export function attention(
  x: tf.Tensor,
  kernels: AttentionKernels,
  options: AttentionOptions,
): tf.Tensor {
  const {numAttentionHeads, numKeyValueHeads, headDim} = options;
  const [batch, seq] = x.shape as [number, number, number];
  return tf.tidy(() => {
    const rows = tf.reshape(x, [batch * seq, -1]);
    const table = rotaryTable(seq, options);
    const project = (kernel: tf.Tensor, heads: number): tf.Tensor =>
      splitHeads(tf.matMul(rows, kernel), [batch, seq, heads, headDim]);

    const q = tf.tidy(() => rotate(project(kernels.q, numAttentionHeads), table));
    const k = tf.tidy(() => rotate(project(kernels.k, numKeyValueHeads), table));
    const v = tf.tidy(() => project(kernels.v, numKeyValueHeads));
    return tf.reshape(tf.matMul(joinHeads(groupedAttention(q, k, v)), kernels.o), x.shape);
  });
}

/** Queries `[batch, heads, seq, headDim]`, fewer heads of keys and values; to the queries' shape. */
function groupedAttention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const [batch, heads, seq, headDim] = q.shape as [number, number, number, number];
  const keyHeads = k.shape[1]!;
  return tf.tidy(() => {
    const mixed = causalAttention(
      tf.reshape(q, [batch * keyHeads, heads / keyHeads, seq, headDim]),
      tf.reshape(k, [batch * keyHeads, seq, headDim]),
      tf.reshape(v, [batch * keyHeads, seq, headDim]),
    );
    return tf.reshape(mixed, q.shape);
  });
}

/** `[batch · seq, heads · headDim]` to `[batch, heads, seq, headDim]`. */
function splitHeads(x: tf.Tensor, shape: [number, number, number, number]): tf.Tensor {
  return tf.transpose(tf.reshape(x, shape), [0, 2, 1, 3]);
}

/** `[batch, heads, seq, headDim]` to `[batch · seq, heads · headDim]`. */
function joinHeads(x: tf.Tensor): tf.Tensor {
  const [batch, , seq] = x.shape as [number, number, number, number];
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch * seq, -1]);
}
