import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {
  OwLoreAttentionSublayer,
  OwLoreBlock,
  OwLoreDecodeBlock,
  OwLoreDecodeBlocks,
  OwLoreMlpSublayer,
} from '../kernels/llama/kernel_names';
import type {BlockFeature} from '../kernels/llama/block_features';
import {declareLowRankProducts} from '../kernels/products';
import {areLayersRecomputed} from '../tape/recompute_layers';
import {runKernel} from '../kernels/run_kernel';
import {multipliesPacked} from '../model/packed_matrix';
import {sourceOf} from '../model/packed_weight';
import {isRecording, needsGradient} from '../tape/recording';
import {keepForSecondRun, keptInFirstRun} from '../tape/segment';
import type {ByRole} from './architectures/weights';
import {
  attention,
  attentionAttrs,
  attentionFeatures,
  attentionInputs,
  type AttentionOptions,
} from './attention';
import type {DecodeState} from './generation/key_value_cache';
import type {KeyValueCache} from './generation/key_value_cache';
import {canRun, computes, kernelOp} from './kernel_op';
import {hasAllGradients, kernelWeights} from './kernel_weights';
import {mlp, mlpFeatures, type Activation} from './mlp';
import {rmsNorm} from './rms_norm';
import {rotaryTable} from './rotary';

/*
 * The two halves of a block, each added to its input (residual connections, He et al. 2016). If the backend has kernels for them,
 * in training each half is one op, or both together are. Only in training, because these kernels also return what the gradient
 * reads. In generation the whole block is one op, without a gradient, where each row has one new position.
 */

for (const kernelName of [OwLoreAttentionSublayer, OwLoreMlpSublayer, OwLoreBlock]) {
  declareLowRankProducts(kernelName);
}

type BlockWeights = ByRole<tf.Tensor>;

/** Reads the weights of a block, each by `read`. */
type ReadWeights = (read: (weight: tfl.LayerVariable) => tf.Tensor) => BlockWeights;

/** What the two halves of a block take of the configuration. */
export interface SublayerOptions extends AttentionOptions {
  intermediateSize: number;
  activation: Activation;
}

/**
 * Whether each half is one op and takes `x` as `[batch, seq, hidden]`, so that no op needs to change its shape, and no gradient
 * to change it back.
 */
export function areSublayersFused(
  weights: BlockWeights,
  options: SublayerOptions,
  cache?: KeyValueCache,
): boolean {
  return isAttentionFused(weights, options, cache) && isMlpFused(weights, options);
}

function isAttentionFused(
  weights: BlockWeights,
  options: SublayerOptions,
  cache?: KeyValueCache,
): boolean {
  const features = attentionHalfFeatures(weights, options);
  return (
    !cache &&
    isRecording() &&
    canRun(OwLoreAttentionSublayer, features) &&
    hasAllGradients(attentionHalfInputs(weights))
  );
}

function isMlpFused(weights: BlockWeights, options: SublayerOptions): boolean {
  return (
    isRecording() &&
    canRun(OwLoreMlpSublayer, mlpHalfFeatures(weights, options)) &&
    hasAllGradients(mlpHalfInputs(weights))
  );
}

function attentionHalfInputs(weights: BlockWeights): Record<string, tf.Tensor> {
  return {norm: weights.norm, ...attentionInputs(weights, true)};
}

function mlpHalfInputs({mlpNorm, gate, up, down}: BlockWeights): Record<string, tf.Tensor> {
  return {norm: mlpNorm, gate, up, down};
}

function attentionHalfFeatures(weights: BlockWeights, options: SublayerOptions): BlockFeature[] {
  const features = attentionFeatures(weights, options);
  return weights.outputNorm ? [...features, 'outputNorm'] : features;
}

function mlpHalfFeatures(
  {mlpOutputNorm}: BlockWeights,
  {activation}: SublayerOptions,
): BlockFeature[] {
  const features = mlpFeatures(activation);
  return mlpOutputNorm ? [...features, 'outputNorm'] : features;
}

/**
 * `x + attention(RMSNorm(x))` for `x` `[batch · seq, hidden]`, or `[batch, seq, hidden]` if {@link areSublayersFused}; with an
 * output norm `x + RMSNorm(attention(RMSNorm(x)))`.
 */
export function attentionSublayer(
  x: tf.Tensor,
  seq: number,
  weights: BlockWeights,
  options: SublayerOptions,
  cache?: KeyValueCache,
): tf.Tensor {
  const {rmsNormEps: epsilon} = options;
  const {norm, outputNorm} = weights;
  if (!isAttentionFused(weights, options, cache)) {
    const normalized = rmsNorm(x, norm, epsilon);
    const attended = attention(normalized, seq, weights, options, cache);
    return tf.add(x, outputNorm ? rmsNorm(attended, outputNorm, epsilon) : attended);
  }
  const {differentiated, constants, attrs} = kernelWeights(attentionHalfInputs(weights));
  return kernelOp({
    kernelName: OwLoreAttentionSublayer,
    inputs: {x, ...differentiated},
    constants: {...constants, ...rotaryTable(seq, options)},
    attrs: {...attentionAttrs(seq, options), epsilon, ...attrs},
    weightsAttr: 'withWeightGradients',
    results: [null, 'scale', 'mixed', 'queries', 'keys', 'values'],
  });
}

/** `x + mlp(RMSNorm(x))` for `x` `[rows, hidden]`, or `[batch, seq, hidden]` likewise; with an output norm likewise. */
export function mlpSublayer(
  x: tf.Tensor,
  weights: BlockWeights,
  options: SublayerOptions,
): tf.Tensor {
  const {rmsNormEps: epsilon, activation} = options;
  const {mlpNorm, mlpOutputNorm} = weights;
  if (!isMlpFused(weights, options)) {
    const normalized = rmsNorm(x, mlpNorm, epsilon);
    if (!mlpOutputNorm) return mlp(normalized, weights, activation, x);
    return tf.add(x, rmsNorm(mlp(normalized, weights, activation), mlpOutputNorm, epsilon));
  }
  const {differentiated, constants, attrs} = kernelWeights(mlpHalfInputs(weights));
  return kernelOp({
    kernelName: OwLoreMlpSublayer,
    inputs: {x, ...differentiated},
    constants,
    attrs: {epsilon, ...attrs},
    weightsAttr: 'withWeightGradients',
    mayOmitValue: true,
    results: [null, 'scale', 'gated', 'upped'],
  });
}

/**
 * Whether attention's weights are kept for the gradient: not if layers are recomputed to save memory, and only for short
 * sequences, where they are not larger than the queries, keys, values and results that are kept anyway.
 */
function keepsAttentionWeights(seq: number, {headDim}: AttentionOptions): boolean {
  return !areLayersRecomputed() && seq <= 4 * headDim;
}

/** What a recomputed block keeps of its first run is at most this part of its weights. */
export const KEPT_PART = 1 / 10;

/**
 * {@link mlpSublayer} of {@link attentionSublayer} as one op, for `x` `[batch, seq, hidden]`. Null if the backend has no kernel
 * for it, or if only some of the weights are trained: the kernel computes the gradients of all of them or of none.
 *
 * A frozen block that is recomputed keeps the value of its first half, if that is small beside the weights: the second run then needs
 * no softmax and no product with its result or with `o`.
 */
export function fusedBlock(
  x: tf.Tensor,
  seq: number,
  weights: BlockWeights,
  options: SublayerOptions,
): tf.Tensor | null {
  const {mlpNorm, gate, up, down} = weights;
  const inputs = {...attentionHalfInputs(weights), mlpNorm, gate, up, down};
  const {differentiated, constants, attrs} = kernelWeights(inputs);
  const areNeeded = new Set(Object.values(differentiated).map(needsGradient));
  const features = [
    ...attentionHalfFeatures(weights, options),
    ...mlpHalfFeatures(weights, options),
  ];
  if (areNeeded.size > 1 || !canRun(OwLoreBlock, features) || !hasAllGradients(inputs)) return null;
  const size = Object.values(inputs).reduce((sum, weight) => sum + weight.size, 0);
  const mayKeep = !areNeeded.has(true) && x.size <= KEPT_PART * size;
  const attended = mayKeep ? keptInFirstRun() : undefined;
  return kernelOp({
    kernelName: OwLoreBlock,
    inputs: {x, ...differentiated},
    constants: {...constants, ...rotaryTable(seq, options), ...(attended && {attended})},
    attrs: {
      ...attrs,
      ...attentionAttrs(seq, options),
      epsilon: options.rmsNormEps,
      keepsWeights: keepsAttentionWeights(seq, options),
    },
    weightsAttr: 'withWeightGradients',
    mayOmitValue: true,
    ...(mayKeep && {onResults: ([, attended]) => keepForSecondRun(attended!)}),
    results: [
      null,
      ...(attended ? [] : ['attended']),
      ...['mlpScale', 'gated', 'upped', 'scale'],
      ...(attended ? [] : ['mixed']),
      ...['queries', 'keys', 'values'],
    ],
    furtherResults: 'weights',
  });
}

/** What a kernel takes of a block for the next position of each row of its cache, beside its input. */
export interface DecodeArguments {
  /** The weights of the block, its keys and values. */
  own: Record<string, tf.Tensor>;
  /** The same for blocks that are alike and have seen the same positions. */
  shared: Record<string, tf.Tensor>;
  attrs: object;
}

/**
 * What the kernel of a decoded block takes. Weights that are packed stay so where the backend multiplies with them. Null if the backend
 * has no such kernel or it does not compute what the block does, where a window hides one of the positions, and where a gradient may be
 * asked for.
 *
 * @param kernelName `OwLoreDecodeBlock` or, for several blocks, `OwLoreDecodeBlocks`. Those must not be packed where they would all be
 *   widened at a time.
 */
export function decodeArguments(
  kernelName: string,
  readWeights: ReadWeights,
  options: SublayerOptions,
  {cache, tables}: DecodeState,
): DecodeArguments | null {
  if (cache.isEmpty || isRecording()) return null;
  const whole = {...options, slidingWindow: cache.isFull ? options.slidingWindow : null};
  const kept = readWeights(sourceOf);
  const features = [...attentionHalfFeatures(kept, whole), ...mlpHalfFeatures(kept, whole)];
  if (!computes(kernelName, [...new Set(features)])) return null;
  const mustWiden = !multipliesPacked() && Object.values(kept).some(({dtype}) => dtype === 'int32');
  if (mustWiden && kernelName === OwLoreDecodeBlocks) return null;
  const weights = mustWiden ? readWeights((weight) => weight.read()) : kept;
  const {norm, mlpNorm, gate, up, down} = weights;
  const {padding, ...parts} = cache.parts();
  return {
    own: {norm, ...attentionInputs(weights, true), mlpNorm, gate, up, down, ...parts},
    shared: {...tables.at(cache.lengths, options), ...(padding && {padding})},
    attrs: {
      ...attentionAttrs(1, options),
      intermediate: options.intermediateSize,
      epsilon: options.rmsNormEps,
    },
  };
}

/**
 * {@link mlpSublayer} of {@link attentionSublayer} for the next position of each row of a cache, `x` `[rows, 1, hidden]`, by one
 * kernel, which appends to the cache; null where there are no {@link decodeArguments} for it.
 */
export function decodedBlock(
  x: tf.Tensor,
  readWeights: ReadWeights,
  options: SublayerOptions,
  state: DecodeState,
): tf.Tensor | null {
  if (x.shape[1] !== 1) return null;
  const given = decodeArguments(OwLoreDecodeBlock, readWeights, options, state);
  if (!given) return null;
  const {own, shared, attrs} = given;
  const results = runKernel(OwLoreDecodeBlock, {x, ...own, ...shared}, {...attrs});
  const [y, keys, values] = results as [tf.Tensor, tf.Tensor, tf.Tensor];
  state.cache.replaceRecent({keys, values});
  return y;
}
