import type * as tfl from '@tensorflow/tfjs-layers';
import {anyModelMemory} from './any_model';
import {resolveEstimateOptions, type EstimateOptions} from './options';
import {sizesOfModel} from './sizes';
import {stepMemory} from './step_memory';
import type {Bytes} from './tape';
import {torchMemory} from './torch';

/** Bytes of a training; those of this library are what is there when a step takes the most. */
export interface MemoryEstimate {
  /** The model's weights, and LoRA's. */
  weights: number;
  /** Gradients of weights, or their projections, and what it takes to compute them. */
  gradients: number;
  /** The optimizer's state: moments and bases. */
  state: number;
  /** What the backward pass reads, and gradients of that. */
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
 * most; a process has more: see docs/command-line.md. For models of `loadLlama` they are within 10 % of
 * what was measured. Of any other `tf.LayersModel`, weights and state are exact, and the activations a rough guess from the outputs of
 * its layers.
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
  const sizes = sizesOfModel(owner, configOrModel);
  if (!sizes) return withTotal(anyModelMemory(owner, configOrModel as tfl.LayersModel, options));
  const {llama, blocks} = sizes;
  const resolved = resolveEstimateOptions(owner, options, {
    blocks: blocks.length,
    mostLength: llama.maxPositionEmbeddings,
  });
  return withTotal(
    resolved.engine === 'torch' ? torchMemory(sizes, resolved) : stepMemory(sizes, resolved),
  );
}

function withTotal({weights, gradients, state, activations}: Bytes): MemoryEstimate {
  const total = weights + gradients + state + activations;
  return {weights, gradients, state, activations, total};
}
