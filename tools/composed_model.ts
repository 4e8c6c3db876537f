import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {createLlama, type LlamaConfig} from '../src/llama';
import {rotaryTable, type RotaryOptions} from '../src/llama/rotary';
import * as composed from './composed';

interface BlockConfig extends RotaryOptions {
  architecture: string;
  numAttentionHeads: number;
  numKeyValueHeads: number;
  rmsNormEps: number;
  attentionBias: boolean;
  slidingWindow: number | null;
  isSliding: boolean;
  ropeLocalBaseFreq: number;
  queryPreAttnScalar: number;
  /** Of the last norm. */
  unitOffset: boolean;
}

/**
 * `createLlama(config)` with the same weights and the same results, computed as tfjs users write it:
 * all ops are tfjs's own, with tfjs's own gradients. What the model costs without this library's ops.
 * Train it with the composed `sparseCrossEntropy`. It is what benchmarks are held against, so no architecture may pay for an op
 * that only another one needs.
 */
export function createComposedLlama(config: LlamaConfig): tfl.LayersModel {
  const model = createLlama(config, {kernels: 'none'});
  for (const layer of model.layers) {
    const layerConfig = layer.getConfig() as unknown as BlockConfig;
    const call = {
      LlamaBlock: (x: tf.Tensor) => block(x, layerConfig, layer.weights),
      LlamaRMSNorm: (x: tf.Tensor) =>
        rmsNorm(x, layer.weights[0]!.read(), layerConfig.rmsNormEps, layerConfig.unitOffset),
    }[layer.getClassName()];
    if (call) layer.call = (inputs) => tf.tidy(() => call([inputs].flat()[0]!));
  }
  return model;
}

function block(
  x: tf.Tensor,
  config: BlockConfig,
  weights: readonly tfl.LayerVariable[],
): tf.Tensor {
  const isGemma = config.architecture === 'gemma3';
  const read = (name: string): tf.Tensor =>
    weights.find(({originalName}) => originalName.endsWith(name))!.read();
  const weight = (name: string): tf.Tensor => read(`${name}.weight`);
  const norm = (x: tf.Tensor, name: string): tf.Tensor =>
    rmsNorm(x, weight(name), config.rmsNormEps, isGemma);
  const outputNorm = (x: tf.Tensor, name: string): tf.Tensor => (isGemma ? norm(x, name) : x);

  const attended = attention(norm(x, 'input_layernorm'), config, read, norm);
  const hidden = tf.add(x, outputNorm(attended, 'post_attention_layernorm'));
  const normed = norm(hidden, isGemma ? 'pre_feedforward_layernorm' : 'post_attention_layernorm');
  const gated = (isGemma ? composed.geglu : composed.swiglu)(
    linear(normed, weight('gate_proj')),
    linear(normed, weight('up_proj')),
  );
  const transformed = linear(gated, weight('down_proj'));
  return tf.add(hidden, outputNorm(transformed, 'post_feedforward_layernorm'));
}

/** With `unitOffset`, the weight is what is added to a factor of 1. */
function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number, unitOffset: boolean): tf.Tensor {
  return composed.rmsNorm(x, unitOffset ? tf.add(weight, 1) : weight, eps);
}

function attention(
  x: tf.Tensor,
  config: BlockConfig,
  read: (name: string) => tf.Tensor,
  norm: (x: tf.Tensor, name: string) => tf.Tensor,
): tf.Tensor {
  const {numAttentionHeads, numKeyValueHeads, headDim, isSliding, queryPreAttnScalar} = config;
  const isGemma = config.architecture === 'gemma3';
  const [batch, seq] = x.shape as [number, number];
  const heads = (name: string, count: number): tf.Tensor => {
    const product = linear(x, read(`${name}.weight`));
    const projected = config.attentionBias ? tf.add(product, read(`${name}.bias`)) : product;
    return tf.reshape(projected, [batch, seq, count, headDim]);
  };
  const isNormalized = isGemma || config.architecture === 'qwen3';
  const normed = (x: tf.Tensor, name: string): tf.Tensor => (isNormalized ? norm(x, name) : x);
  const queries = normed(heads('q_proj', numAttentionHeads), 'q_norm');
  const isLocal = isSliding && isGemma;
  const mixed = composed.selfAttention(
    isGemma ? tf.mul(queries, Math.sqrt(headDim / queryPreAttnScalar)) : queries, // √headDim is divided out later
    normed(heads('k_proj', numKeyValueHeads), 'k_norm'),
    heads('v_proj', numKeyValueHeads),
    rotaryTable(
      seq,
      isLocal ? {headDim, ropeTheta: config.ropeLocalBaseFreq, ropeScaling: null} : config,
    ),
    isSliding ? config.slidingWindow : null,
  );
  return linear(tf.reshape(mixed, [batch, seq, -1]), read('o_proj.weight'));
}

/** Rows of `[batch, seq, in]` times `[in, out]`. */
function linear(x: tf.Tensor, kernel: tf.Tensor): tf.Tensor {
  const rows = tf.reshape(x, [-1, x.shape.at(-1)!]);
  return tf.reshape(tf.matMul(rows, kernel), [...x.shape.slice(0, -1), -1]);
}
