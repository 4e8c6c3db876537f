import * as tf from '@tensorflow/tfjs-core';
import type {ByRole} from './architectures/weights';
import {causalAttention} from './causal_attention';
import type {BlockFeature} from '../kernels/llama/block_features';
import {OwLoreAttention, type OwLoreAttentionAttrs} from '../kernels/llama/kernel_names';
import {declareProducts} from '../kernels/products';
import type {KeysAndValues, KeyValueCache} from './generation/key_value_cache';
import {canRun, kernelOp} from './kernel_op';
import {rmsNorm} from './rms_norm';
import {rotate, rotaryTable, type RotaryOptions, type RotaryTable} from './rotary';

export interface AttentionOptions extends RotaryOptions {
  numAttentionHeads: number;
  numKeyValueHeads: number;
  /** The constant of RMSNorm. */
  rmsNormEps: number;
  /** Its square root divides the products of queries and keys. */
  queryPreAttnScalar: number;
  /** How many keys a query sees at most: that of its own position and those just before; null: all earlier ones. */
  slidingWindow: number | null;
}

/**
 * Kernels `[in, out]`, where the side of the heads is `heads · headDim`. Biases of the projections `[out]`, all three or none.
 * Weights `[headDim]` of an RMSNorm of each head's queries and keys (Henry et al. 2020), both or none.
 */
export type AttentionWeights = Pick<
  ByRole<tf.Tensor>,
  'q' | 'k' | 'v' | 'o' | 'qBias' | 'kBias' | 'vBias' | 'qNorm' | 'kNorm'
>;

declareProducts(OwLoreAttention, [
  ['x', 'q'],
  ['x', 'k'],
  ['x', 'v'],
]);

/**
 * Causal self-attention with rotary positions 0, 1, …: `x` `[batch · seq, hidden]` to the same
 * shape.
 *
 * Each key and value head serves `numAttentionHeads / numKeyValueHeads` consecutive query heads
 * (grouped queries, Ainslie et al. 2023).
 *
 * @param cache If given, the positions follow those that it has seen: they also see its keys, and their
 *   own are added to it. If its rows have seen more and fewer positions, `seq` is 1.
 */
export function attention(
  x: tf.Tensor,
  seq: number,
  weights: AttentionWeights,
  options: AttentionOptions,
  cache?: KeyValueCache,
): tf.Tensor {
  return tf.tidy(() => {
    const isFused = canRun(OwLoreAttention, attentionFeatures(weights, options));
    if (!isFused || cache?.lengths.some((length) => length > 0)) {
      return tf.matMul(composedAttention(x, seq, weights, options, cache), weights.o);
    }
    // a kernel returns keys and values in a layout that only it knows
    cache?.append(keysAndValues(x, seq, weights, options, rotaryTable(seq, options)));
    return tf.matMul(fusedAttention(x, seq, weights, options), weights.o);
  });
}

/** Attention without the last product: `[batch · seq, numAttentionHeads · headDim]`. */
function composedAttention(
  x: tf.Tensor,
  seq: number,
  weights: AttentionWeights,
  options: AttentionOptions,
  cache?: KeyValueCache,
): tf.Tensor {
  const {numAttentionHeads, headDim} = options;
  const table = rotaryTable(seq, options, cache?.lengths);
  return tf.tidy(() => {
    const q = tf.tidy(() => rotate(projected(x, seq, weights, 'q', options), table));
    const own = keysAndValues(x, seq, weights, options, table);
    const {keys, values} = cache ? cache.append(own) : own;
    const mixed = groupedAttention(q, keys, values, options, cache?.lengths);
    return tf.reshape(byHeads(mixed), [x.shape[0], numAttentionHeads * headDim]);
  });
}

/** Rotated keys, and values, each `[batch, numKeyValueHeads, seq, headDim]`. */
function keysAndValues(
  x: tf.Tensor,
  seq: number,
  weights: AttentionWeights,
  options: AttentionOptions,
  table: RotaryTable,
): KeysAndValues {
  const keys = tf.tidy(() => rotate(projected(x, seq, weights, 'k', options), table));
  return {keys, values: projected(x, seq, weights, 'v', options)};
}

/** `[batch, heads, seq, headDim]`. */
function projected(
  x: tf.Tensor,
  seq: number,
  weights: AttentionWeights,
  name: 'q' | 'k' | 'v',
  {headDim, rmsNormEps}: AttentionOptions,
): tf.Tensor {
  return tf.tidy(() => {
    const product = tf.matMul(x, weights[name]);
    const bias = weights[`${name}Bias`];
    const biased = bias ? tf.add(product, bias) : product;
    const heads = tf.reshape(biased, [x.shape[0] / seq, seq, -1, headDim]);
    const norm = name === 'v' ? undefined : weights[`${name}Norm`];
    return byHeads(norm ? rmsNorm(heads, norm, rmsNormEps) : heads);
  });
}

/** What a kernel with attention in it must compute. */
export function attentionFeatures(
  {qBias, qNorm}: AttentionWeights,
  {slidingWindow, queryPreAttnScalar, headDim}: AttentionOptions,
): BlockFeature[] {
  const features: BlockFeature[] = [];
  if (qBias) features.push('attentionBias');
  if (slidingWindow !== null) features.push('slidingWindow');
  if (qNorm) features.push('queryKeyNorm');
  if (queryPreAttnScalar !== headDim) features.push('queryScale');
  return features;
}

/** Attributes of a kernel with attention in it. */
export function attentionAttrs(seq: number, options: AttentionOptions): OwLoreAttentionAttrs {
  const {numAttentionHeads: heads, numKeyValueHeads: keyHeads, slidingWindow} = options;
  const isHiding = slidingWindow !== null && slidingWindow < seq;
  return {heads, keyHeads, ...(isHiding && {window: slidingWindow})};
}

/** The weights that such a kernel takes, in the order of their gradients; `o`, if the kernel takes it, comes after `v`. */
export function attentionInputs(
  {q, k, v, o, qBias, kBias, vBias}: AttentionWeights,
  withOutput: boolean,
): Record<string, tf.Tensor> {
  return {
    ...{q, k, v},
    ...(withOutput && {o}),
    ...(qBias && {qBias, kBias: kBias!, vBias: vBias!}),
  };
}

/** The same as {@link composedAttention}, by a kernel. */
function fusedAttention(
  x: tf.Tensor,
  seq: number,
  weights: AttentionWeights,
  options: AttentionOptions,
): tf.Tensor {
  return kernelOp({
    kernelName: OwLoreAttention,
    inputs: {x, ...attentionInputs(weights, false)},
    constants: {...rotaryTable(seq, options)},
    attrs: attentionAttrs(seq, options),
    weightsAttr: 'withKernelGradients',
    results: ['y', 'queries', 'keys', 'values'],
  });
}

/**
 * Attention for queries `[batch, heads, seq, headDim]`, in the same shape. Keys and values have fewer heads,
 * and more positions if some come before those of the queries.
 *
 * @param lengths How many positions each row has by now, the last ones of its keys; default all.
 */
function groupedAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  {slidingWindow: window, queryPreAttnScalar}: AttentionOptions,
  lengths: readonly number[] = [],
): tf.Tensor {
  const [batch, heads, seq, headDim] = q.shape as [number, number, number, number];
  const [, keyHeads, keys] = k.shape as [number, number, number];
  return tf.tidy(() => {
    const mixed = causalAttention(
      tf.reshape(q, [batch * keyHeads, heads / keyHeads, seq, headDim]),
      tf.reshape(k, [batch * keyHeads, keys, headDim]),
      tf.reshape(v, [batch * keyHeads, keys, headDim]),
      {window, scale: queryPreAttnScalar ** -0.5, padding: paddingOf(lengths, keys)},
    );
    return tf.reshape(mixed, q.shape);
  });
}

/** How many of the first keys of each row are padding; undefined if none is. */
function paddingOf(lengths: readonly number[], keys: number): number[] | undefined {
  const padding = lengths.map((length) => Math.max(0, keys - length));
  return padding.some((count) => count > 0) ? padding : undefined;
}

/** `[batch, seq, heads, headDim]` to `[batch, heads, seq, headDim]`, and back. */
function byHeads(x: tf.Tensor): tf.Tensor {
  return tf.transpose(x, [0, 2, 1, 3]);
}
