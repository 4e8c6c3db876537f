import * as tf from '@tensorflow/tfjs-core';
import {
  OwLoreAttentionSublayer,
  OwLoreAttentionSublayerGrad,
  OwLoreBlock,
  OwLoreBlockGrad,
  OwLoreMlpSublayer,
  OwLoreMlpSublayerGrad,
} from '../kernels/llama_kernel_names';
import {hasKernel} from '../kernels/run_kernel';
import {areLayersRecomputed} from '../tape/recompute_layers';
import {isRecording, needsGradient} from '../tape/recording';
import {
  attention,
  attentionAttrs,
  biasInputs,
  type AttentionOptions,
  type AttentionWeights,
} from './attention';
import type {KeyValueCache} from './generation/key_value_cache';
import {kernelOp} from './kernel_op';
import {mlp, type MlpKernels} from './mlp';
import {rmsNorm} from './rms_norm';
import {rotaryTable} from './rotary';

/*
 * The two halves of a block, each added to what goes in (residual connections, He et al. 2016). Where the backend has kernels for
 * them they are one op each in training, or both together. Only in training: who looks at a forward pass, to score its weights, is to
 * see all of it.
 */

/** What the two halves of a block read of its weights. */
export interface BlockWeights {
  attentionNorm: tf.Tensor;
  attention: AttentionWeights;
  mlpNorm: tf.Tensor;
  mlp: MlpKernels;
}

/** The constant of RMSNorm. */
interface NormOptions {
  rmsNormEps: number;
}

/**
 * Whether both halves are one op each, and take `x` `[batch, seq, hidden]` as it is: no other op need change its shape, and no
 * gradient change it back.
 */
export function areSublayersFused(cache?: KeyValueCache): boolean {
  const gradients = [OwLoreAttentionSublayerGrad, OwLoreMlpSublayerGrad];
  return !cache && isRecording() && gradients.every(hasKernel);
}

/** `x + attention(RMSNorm(x))`, `x` `[batch · seq, hidden]`, or as above. */
export function attentionSublayer(
  x: tf.Tensor,
  seq: number,
  {attentionNorm: norm, attention: weights}: BlockWeights,
  options: AttentionOptions & NormOptions,
  cache?: KeyValueCache,
): tf.Tensor {
  const {rmsNormEps: epsilon} = options;
  if (!areSublayersFused(cache)) {
    const normalized = rmsNorm(x, norm, epsilon);
    return tf.add(x, attention(normalized, seq, weights, options, cache));
  }
  const {q, k, v, o} = weights.kernels;
  return kernelOp({
    kernelName: OwLoreAttentionSublayer,
    gradientName: OwLoreAttentionSublayerGrad,
    inputs: {x, norm, q, k, v, o, ...biasInputs(weights.biases)},
    constants: {...rotaryTable(seq, options)},
    attrs: {...attentionAttrs(seq, options), epsilon},
    weightsAttr: 'ofWeights',
    results: [null, 'scale', 'mixed', 'queries', 'keys', 'values'],
  });
}

/** `x + mlp(RMSNorm(x))`, `x` `[rows, hidden]`, or as above. */
export function mlpSublayer(
  x: tf.Tensor,
  {mlpNorm: norm, mlp: kernels}: BlockWeights,
  {rmsNormEps: epsilon}: NormOptions,
): tf.Tensor {
  if (!areSublayersFused()) return tf.add(x, mlp(rmsNorm(x, norm, epsilon), kernels));
  const {gate, up, down} = kernels;
  return kernelOp({
    kernelName: OwLoreMlpSublayer,
    gradientName: OwLoreMlpSublayerGrad,
    inputs: {x, norm, gate, up, down},
    constants: {},
    attrs: {epsilon},
    weightsAttr: 'ofWeights',
    results: [null, 'scale', 'gated', 'upped'],
  });
}

/**
 * Whether attention's weights are kept for the gradient: not where layers are recomputed, to save memory, and only those of
 * short sequences, which are not larger than the queries, keys, values and results that are kept as well.
 */
function keepsAttentionWeights(seq: number, {headDim}: AttentionOptions): boolean {
  return !areLayersRecomputed() && seq <= 4 * headDim;
}

/**
 * {@link mlpSublayer} of {@link attentionSublayer} as one op, `x` `[batch, seq, hidden]`; null if the backend has no kernel for it,
 * or if some of the weights are trained and some are not, for the kernel makes the gradients of all of them or of none.
 */
export function fusedBlock(
  x: tf.Tensor,
  seq: number,
  {attentionNorm, attention, mlpNorm, mlp}: BlockWeights,
  options: AttentionOptions & NormOptions,
): tf.Tensor | null {
  const {q, k, v, o} = attention.kernels;
  const {gate, up, down} = mlp;
  const ofAttention = {norm: attentionNorm, q, k, v, o, ...biasInputs(attention.biases)};
  const weights = {...ofAttention, mlpNorm, gate, up, down};
  const areNeeded = new Set(Object.values(weights).map(needsGradient));
  if (areNeeded.size > 1 || !hasKernel(OwLoreBlockGrad)) return null;
  return kernelOp({
    kernelName: OwLoreBlock,
    gradientName: OwLoreBlockGrad,
    inputs: {x, ...weights},
    constants: {...rotaryTable(seq, options)},
    attrs: {
      ...attentionAttrs(seq, options),
      epsilon: options.rmsNormEps,
      keepsWeights: keepsAttentionWeights(seq, options),
    },
    weightsAttr: 'ofWeights',
    results: [
      null,
      'attended',
      ...['mlpScale', 'gated', 'upped'],
      ...['scale', 'mixed', 'queries', 'keys', 'values'],
    ],
    furtherResults: 'weights',
  });
}
