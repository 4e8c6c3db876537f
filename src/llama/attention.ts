import * as tf from '@tensorflow/tfjs-core';
import {causalAttention} from './causal_attention';
import {OwLoreAttention, OwLoreAttentionGrad} from '../kernels/llama_kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import {customOp} from './custom_op';
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
 * Causal self-attention with rotary positions 0, 1, …: `x` `[batch · seq, hidden]` to the same
 * shape.
 *
 * Each key and value head serves `numAttentionHeads / numKeyValueHeads` query heads in a row
 * (grouped queries, Ainslie et al. 2023).
 */
export function attention(
  x: tf.Tensor,
  seq: number,
  kernels: AttentionKernels,
  options: AttentionOptions,
): tf.Tensor {
  return tf.tidy(() => {
    const mix = hasKernel(OwLoreAttentionGrad) ? fusedAttention : composedAttention;
    return tf.matMul(mix(x, seq, kernels, options), kernels.o);
  });
}

/** All but the last product: `[batch · seq, numAttentionHeads · headDim]`. */
function composedAttention(
  x: tf.Tensor,
  seq: number,
  kernels: AttentionKernels,
  options: AttentionOptions,
): tf.Tensor {
  const {numAttentionHeads, numKeyValueHeads, headDim} = options;
  const rows = x.shape[0];
  const table = rotaryTable(seq, options);
  return tf.tidy(() => {
    const project = (kernel: tf.Tensor, heads: number): tf.Tensor =>
      byHeads(tf.reshape(tf.matMul(x, kernel), [rows / seq, seq, heads, headDim]));
    const q = tf.tidy(() => rotate(project(kernels.q, numAttentionHeads), table));
    const k = tf.tidy(() => rotate(project(kernels.k, numKeyValueHeads), table));
    const mixed = groupedAttention(q, k, project(kernels.v, numKeyValueHeads));
    return tf.reshape(byHeads(mixed), [rows, numAttentionHeads * headDim]);
  });
}

/** The same by a kernel. */
function fusedAttention(
  x: tf.Tensor,
  seq: number,
  {q, k, v}: AttentionKernels,
  options: AttentionOptions,
): tf.Tensor {
  const {cos, sin} = rotaryTable(seq, options);
  const attrs = {heads: options.numAttentionHeads, keyHeads: options.numKeyValueHeads};
  return customOp({
    inputs: [x, q, k, v],
    kept: [x, q, k, v, cos, sin],
    keepsResults: true,
    forward: () =>
      runKernel(OwLoreAttention, {x, q, k, v, cos, sin}, attrs) as [tf.Tensor, ...tf.Tensor[]],
    gradient: (dy, kept, [, ...kernelsNeeded]) => {
      const [x, q, k, v, cos, sin, y, queries, keys, values] = kept;
      const inputs = {dy, x, q, k, v, cos, sin, y, queries, keys, values};
      const ofKernels = kernelsNeeded.includes(true);
      return runKernel(OwLoreAttentionGrad, inputs, {...attrs, ofKernels})!;
    },
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

/** `[batch, seq, heads, headDim]` to `[batch, heads, seq, headDim]`, and back. */
function byHeads(x: tf.Tensor): tf.Tensor {
  return tf.transpose(x, [0, 2, 1, 3]);
}
