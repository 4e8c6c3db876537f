import type * as tfl from '@tensorflow/tfjs-layers';
import {planProjection} from '../../owlore/optimizer/state/projector';
import {owloreDefaults} from '../../owlore/optimizer/options';
import {anyModelMemory} from './any_model';
import {llamaTraining} from './llama_training';
import {
  resolveEstimateOptions,
  type EstimateOptions,
  type ResolvedEstimateOptions,
} from './options';
import {onShapes} from './shape_backend';
import {sizesOfModel, type ModelSizes} from './sizes';
import {torchMemory} from './torch';
import {trainingMemory, type Bytes, type Measured} from './training_memory';

/** Bytes of a training; those of this library are what is there when a step takes the most. */
export interface MemoryEstimate {
  /** The model's weights, and LoRA's. */
  weights: number;
  /** What the backward pass and the update make: gradients, or their projections, and what it takes to compute them. */
  gradients: number;
  /** The optimizer's state: moments and bases. */
  state: number;
  /** What the forward pass makes, and what runs again: values that the backward pass reads. */
  activations: number;
  /** All of them. */
  total: number;
}

const owner = 'estimateMemory';

/**
 * Predicts the memory of a training from the sizes of a model.
 *
 * ```ts
 * const config = JSON.parse(await readFile('SmolLM2-135M/config.json', 'utf8'));
 * const {total} = estimateMemory(config, {gamma: 3, batchSize: 4, maxLength: 128});
 * ```
 *
 * The figures of this library (`engine: 'tfjs'`) are those of tensors, as the memory meter counts them, in the step that takes the
 * most; a process has more: see docs/command-line.md. They are counted while the optimizer makes two steps of the model on a backend that
 * knows the shapes of tensors and computes nothing. It takes no memory for weights, and changes neither a model that is passed nor the
 * current backend. A layer of a `tf.LayersModel` that reads values of tensors, a stateful one, or a kernel that is not tfjs's cannot
 * run like that: then activations and gradients are a rough guess from the outputs of the layers, which a warning says.
 *
 * With `engine: 'torch'` it is what the OwLore paper's Tables 2 and 4 say of PyTorch, within 10 % of all their figures.
 *
 * @param configOrModel The object in the `config.json` of a model that `loadLlama` takes, its `config`, the options of `createLlama`, or
 *   a model.
 * @throws Error that names the key of the config, or the option, with its value and what is allowed.
 */
export function estimateMemory(
  configOrModel: object | tfl.LayersModel,
  options: EstimateOptions = {},
): MemoryEstimate {
  const sizes = sizesOfModel(owner, configOrModel, options.headInLoss);
  if (!sizes) return withTotal(anyModelMemory(owner, configOrModel as tfl.LayersModel, options));
  const resolved = resolvedFor(sizes, options);
  return withTotal(
    resolved.engine === 'torch' ? torchMemory(sizes, resolved) : measured(sizes, resolved),
  );
}

/**
 * Bytes of the largest tensor of a training of a LLaMA-style model by this library, because webgpu limits the size of a buffer.
 *
 * @param configOrModel As of `estimateMemory`, whose errors it throws.
 */
export function largestTensor(configOrModel: object, options: EstimateOptions): number {
  const sizes = sizesOfModel(owner, configOrModel, options.headInLoss)!;
  return measured(sizes, resolvedFor(sizes, options)).largest;
}

function resolvedFor(sizes: ModelSizes, options: EstimateOptions): ResolvedEstimateOptions {
  const {llama, blocks} = sizes;
  const resolved = resolveEstimateOptions(owner, options, {
    blocks: blocks.length,
    maxPositions: llama.maxPositionEmbeddings,
  });
  checkEmbedding(sizes, resolved);
  return resolved;
}

function measured({llama}: ModelSizes, options: ResolvedEstimateOptions): Measured {
  return onShapes(options.backend, () =>
    trainingMemory(owner, () => llamaTraining(llama, options), options),
  );
}

/** @throws Error if embedding or head cannot be projected as they should be. */
function checkEmbedding(
  {vocabulary}: ModelSizes,
  {embedding, rank}: ResolvedEstimateOptions,
): void {
  if (embedding !== 'low-rank') return;
  const wrong = vocabulary.find((shape) => !planProjection(shape, rank, owloreDefaults.side));
  if (!wrong) return;
  throw new Error(
    `${owner}: embedding 'low-rank' is not possible at rank ${rank}: a matrix of embedding and head is [${wrong.join(', ')}], and ` +
      'a rank below both sizes that makes the state of the optimizer smaller is needed',
  );
}

function withTotal({weights, gradients, state, activations}: Bytes): MemoryEstimate {
  const total = weights + gradients + state + activations;
  return {weights, gradients, state, activations, total};
}
