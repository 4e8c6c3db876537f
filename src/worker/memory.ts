/** What a training takes, and what a tab has. */
import type {JsonObject} from '../files/json';
import type {ResolvedConfig} from '../llama/config';
import {estimateMemory, type EstimateOptions} from '../memory/estimate/index';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import {fittedGamma} from '../owlore/sampling/block_probabilities';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import type {EstimatedMemory} from './events';
import type {WorkerBackend} from './options';
import type {Settings} from './settings';

/** The largest heap of wasm, whose addresses have 32 bits. */
const WASM_HEAP = 2 ** 32;

/** Gaps between tensors in that heap, as a part of the tensors' bytes. */
const GAPS = 0.08;

/** The most bytes of tensors that a tab has room for; null where nobody knows. */
export function tensorLimit(backend: WorkerBackend): number | null {
  if (backend !== 'wasm') return null;
  // in GB, of which browsers tell at most 8
  const {deviceMemory = Infinity} = navigator as {deviceMemory?: number};
  return Math.floor(Math.min(WASM_HEAP, deviceMemory * 2 ** 30) / (1 + GAPS));
}

/** What a training with these options takes at its peak. */
export function estimateOf(
  settings: Settings,
  backend: WorkerBackend,
  configJson: JsonObject,
  config: ResolvedConfig,
): EstimatedMemory {
  const {total, ...parts} = estimateMemory(
    configJson,
    estimateOptionsOf(settings, backend, config),
  );
  return {total, parts};
}

/** What it takes to train all weights by plain Adam: nothing drawn, projected or computed twice. */
export function plainBytesOf(
  {batchSize, maxLength, accumulate}: Settings,
  backend: WorkerBackend,
  configJson: JsonObject,
  config: ResolvedConfig,
): number {
  const {total} = estimateMemory(configJson, {
    method: 'full',
    ...{batchSize, maxLength: lengthOf({maxLength}, config), accumulate},
    backend: describedAs(backend),
    gradientCheckpointing: 'none',
  });
  return total;
}

function estimateOptionsOf(
  settings: Settings,
  backend: WorkerBackend,
  config: ResolvedConfig,
): EstimateOptions {
  const {method, rank, batchSize, accumulate, gradientCheckpointing} = settings;
  const {embedding, frozenDtype} = settings;
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  const blocks = config.numHiddenLayers;
  return {
    ...{method, rank, batchSize, accumulate, gradientCheckpointing},
    ...{maxLength: lengthOf(settings, config), backend: describedAs(backend)},
    headInLoss: true, // as the model is loaded
    ...(sampling && {gamma: settings.gamma ?? fittedGamma(sampling.gamma, blocks, blocks)}),
    ...(trainsRest(method) && {embedding}),
    ...((sampling !== null || lora) && {frozenDtype}),
  };
}

function lengthOf({maxLength}: {maxLength?: number | undefined}, config: ResolvedConfig): number {
  return maxLength ?? Math.min(textDatasetDefaults.maxLength, config.maxPositionEmbeddings);
}

/** The backend as estimates know it: on webgl the kernels are tfjs's, as they are described for webgpu. */
function describedAs(backend: WorkerBackend): 'webgpu' | 'wasm' | 'cpu' {
  return backend === 'webgl' ? 'webgpu' : backend;
}
