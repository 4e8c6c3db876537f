/** What a training takes, and what a tab has. */
import type {JsonObject} from '../files/json';
import type {ResolvedConfig} from '../llama/config';
import {loraDefaults} from '../lora/lora_options';
import {estimateMemory} from '../memory/estimate/index';
import {estimateOptionsOf, hasRank, type EstimatedSettings} from '../memory/estimated_settings';
import {MemoryFit} from '../memory/memory_fit';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import {owloreDefaults} from '../owlore/optimizer/options';
import type {EstimatedMemory} from './events';
import type {FineTuneOptions, WorkerBackend} from './options';
import type {Settings} from './settings';

/** The largest heap of wasm, whose addresses have 32 bits. */
const WASM_HEAP = 2 ** 32;

/** Gaps between tensors in that heap, as a part of the tensors' bytes. */
const GAPS = 0.08;

/** The most bytes of tensors that a tab has room for; null where nobody knows. */
export function tensorLimit(backend: WorkerBackend): number | null {
  if (backend !== 'wasm') return null;
  // in GiB, of which browsers tell at most 8
  const {deviceMemory = Infinity} = (globalThis.navigator ?? {}) as {deviceMemory?: number};
  return Math.floor(Math.min(WASM_HEAP, deviceMemory * 2 ** 30) / (1 + GAPS));
}

/** What a training with these settings takes at its peak. */
export function estimateOf(
  settings: Settings,
  backend: WorkerBackend,
  configJson: JsonObject,
  config: ResolvedConfig,
): EstimatedMemory {
  const options = estimateOptionsOf(estimatedSettings(settings, backend), config);
  const {total, ...parts} = estimateMemory(configJson, options);
  return {total, parts};
}

/** What it takes to train all weights by plain Adam: nothing drawn, projected or computed twice. */
export function plainBytesOf(
  settings: Settings,
  backend: WorkerBackend,
  configJson: JsonObject,
  config: ResolvedConfig,
): number {
  const {batchSize, maxLength, accumulate, backend: described} = estimateOptionsOf(estimatedSettings(settings, backend), config); // prettier-ignore
  const {total} = estimateMemory(configJson, {
    ...{batchSize, maxLength, accumulate, backend: described!},
    ...{method: 'full', gradientCheckpointing: 'none'},
  });
  return total;
}

/**
 * The smallest change of the settings with which a training fits; null if there is none.
 *
 * @param turn Waited for between estimates; if it throws, this does.
 */
export async function nearestFit(
  settings: Settings,
  backend: WorkerBackend,
  config: JsonObject,
  described: ResolvedConfig,
  limit: number,
  turn: () => Promise<void>,
): Promise<Partial<FineTuneOptions> | null> {
  const [nearest] = await new MemoryFit({
    ...{config, described, settings: estimatedSettings(settings, backend)},
    loraRank: loraDefaults.rank,
    optionsOf: (changed) => estimateOptionsOf(changed, described),
    meaningless,
    fits: (tensors) => tensors <= limit,
    nextTurn: turn,
  }).proposals();
  return nearest?.change ?? null;
}

/** The settings as an estimate knows them: on webgl the kernels are tfjs's, as they are described for webgpu. */
function estimatedSettings(settings: Settings, backend: WorkerBackend): EstimatedSettings {
  const {update, basis} = owloreDefaults;
  const {gamma, maxLength} = settings;
  return {
    ...settings,
    ...{gamma, maxLength, update},
    basis: typeof basis === 'function' ? 'svd' : basis,
    targets: String(loraDefaults.targets),
    loraDropout: loraDefaults.dropout,
    backend: backend === 'webgl' ? 'webgpu' : backend,
  };
}

/** Names of settings that change nothing. */
function meaningless(settings: EstimatedSettings): Record<string, string> {
  const {method} = settings;
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  return {
    ...(!hasRank(settings) && {rank: method}),
    ...(!trainsRest(method) && {embedding: method}),
    ...(sampling === null && {gamma: method}),
    ...(sampling === null && !lora && {frozenDtype: method}),
  };
}
