import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {installKernelsForBackend, kernelChoices} from '../kernels/install_for_backend';
import {checkArgument, checkChoice, checkKnown} from '../common/options';
import {architectures} from './architectures';
import {BLOCK_OPTIONS, LlamaBlock} from './block';
import {resolveConfig, type LlamaConfig} from './config';
import {EMBEDDING_OPTIONS, LlamaEmbedding} from './embedding';
import {LlamaHead} from './head';
import type {GivenWeights, WeightInit} from './layer';
import {pick} from './pick';
import {RMSNorm} from './rms_norm';

/** Seeds of consecutive layers are this far apart: a block draws seven kernels. */
const SEEDS_PER_LAYER = 8;

/** Options of `createLlama` and `loadLlama`. */
export interface LlamaKernelOptions {
  /**
   * `'auto'`: registers this library's kernels for the current backend (cpu, wasm, webgpu or tensorflow); they replace tfjs's
   * kernels of the same name. `'none'`: registers none. Default `'auto'`.
   */
  kernels?: 'auto' | 'none';
}

/**
 * A LLaMA-style causal language model with random weights (Touvron et al. 2023): token ids, int32
 * `[batch, seq]` with any `seq`, to logits `[batch, seq, vocab]`.
 *
 * Layers are named as in Hugging Face's checkpoints: `model.embed_tokens`, `model.layers.0`, …,
 * `model.norm`, and `lm_head` unless the weights are tied. Train it with `sparseCrossEntropy`; in
 * `fit` the labels are `[batch, seq, 1]`. Positions count from 0 and a token sees only itself and
 * earlier ones: pad on the right, with labels −100.
 *
 * ```ts
 * const model = createLlama({
 *   vocabSize: 256,
 *   hiddenSize: 64,
 *   intermediateSize: 128,
 *   numHiddenLayers: 4,
 *   numAttentionHeads: 4,
 * });
 * model.compile({optimizer: owlore(1e-3, {rank: 16}), loss: sparseCrossEntropy});
 * ```
 *
 * Its ops keep little for the backward pass and have no second derivatives: a gradient of a gradient
 * through the model throws.
 *
 * A page loads the kernels of its backend when they are first asked for. Until they are there, the model runs with tfjs's own,
 * which are slower; `loadLlama`, and `fit` with an `OwLoreOptimizer`, wait for them.
 *
 * @returns The model; it belongs to the caller, who disposes of it.
 * @throws if an option is unknown or out of range.
 */
export function createLlama(
  config: LlamaConfig,
  options: LlamaKernelOptions = {},
): tfl.LayersModel {
  checkKnown('createLlama(config, options)', options, ['kernels']);
  const kernels = checkedKernels('createLlama', options);
  const model = buildLlama(config);
  if (kernels === 'auto') void installKernelsForBackend();
  return model;
}

/** Whether `options` ask for kernels; throws if they say neither. */
export function checkedKernels(owner: string, {kernels = 'auto'}: LlamaKernelOptions): string {
  checkChoice(owner, 'kernels', kernels, kernelChoices);
  return kernels;
}

/** As `createLlama`; with `given`, no weight is drawn. */
export function buildLlama(
  config: LlamaConfig,
  given?: GivenWeights,
  onKernel?: WeightInit['onKernel'],
): tfl.LayersModel {
  const options = resolveConfig(config);
  const {vocabSize, numHiddenLayers, rmsNormEps, tieWordEmbeddings, headInLoss} = options;
  const {slidingWindow, layerTypes} = options;
  const initOf = (layer: number) => ({
    initializerRange: options.initializerRange,
    seed: options.seed === null ? null : options.seed + SEEDS_PER_LAYER * layer,
    ...{given, onKernel},
  });
  const apply = (layer: tfl.layers.Layer, input: tfl.SymbolicTensor): tfl.SymbolicTensor =>
    layer.apply(input) as tfl.SymbolicTensor;

  const {scaledEmbedding, unitOffset = false} = architectures[options.architecture];
  const scale = scaledEmbedding ? Math.sqrt(options.hiddenSize) : 1;
  const embeddingOptions = {...pick(options, EMBEDDING_OPTIONS), scale};
  const embedding = new LlamaEmbedding({
    name: 'model.embed_tokens',
    ...embeddingOptions,
    ...initOf(0),
  });
  const ids = tfl.input({shape: [null], dtype: 'int32', name: 'ids'});
  // of another dtype tfjs would cast them, NaN to 0, before anything can look at them
  Object.assign(ids, {dtype: null});
  let hidden = apply(embedding, ids);
  const blockOptions = pick(options, BLOCK_OPTIONS);
  for (let i = 0; i < numHiddenLayers; i++) {
    const name = `model.layers.${i}`;
    const isSliding = layerTypes ? layerTypes[i] === 'sliding_attention' : slidingWindow !== null;
    hidden = apply(new LlamaBlock({name, ...blockOptions, isSliding, ...initOf(1 + i)}), hidden);
  }
  hidden = apply(new RMSNorm({name: 'model.norm', rmsNormEps, unitOffset, given}), hidden);
  const head = tieWordEmbeddings
    ? embedding
    : new LlamaHead({name: 'lm_head', vocabSize, headInLoss, ...initOf(1 + numHiddenLayers)});
  return refusingNoIds(tfl.model({inputs: ids, outputs: apply(head, hidden), name: 'llama'}));
}

/** A model whose `predict` and `predictOnBatch` say what is wrong with ids of which tfjs would make no batch. */
function refusingNoIds(model: tfl.LayersModel): tfl.LayersModel {
  const check = (method: string, x: unknown): void => {
    const owner = `${model.name}.${method}`;
    const ids = [x].flat()[0] as tf.Tensor;
    checkArgument(owner, 'token ids', ids, 'a tensor [batch, seq]', ids instanceof tf.Tensor);
    if (ids.dtype === 'string') {
      throw new Error(
        `${owner}: token ids must be whole numbers; got string [${ids.shape.join(', ')}]`,
      );
    }
    if (ids.shape[0] !== 0) return;
    throw new Error(
      `${owner}: token ids must be [batch, seq], at least one sequence of at least one token; got [${ids.shape.join(', ')}]`,
    );
  };
  const predict = model.predict.bind(model);
  const predictOnBatch = model.predictOnBatch.bind(model);
  model.predict = (x, args) => {
    check('predict', x);
    return predict(x, args);
  };
  model.predictOnBatch = (x) => {
    check('predictOnBatch', x);
    return predictOnBatch(x);
  };
  return model;
}
