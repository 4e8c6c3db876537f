/** The options of a training with their defaults, which are those of `tfjs-owlore finetune`. */
import {
  checkArgument,
  checkChoice,
  checkFlag,
  checkKnown,
  checkNumber,
  definedIn,
  display,
  seedRange,
  type NumberRange,
} from '../common/options';
import {isUrl} from '../files/file_url';
import {parseHubName} from '../files/hub_name';
import {threadRange} from '../kernels/wasm/thread_count';
import {frozenDtypes} from '../llama/files/load_llama';
import {checkFields, EXAMPLE_FORMATS} from '../llama/text/formats';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {loraDefaults} from '../lora/lora_options';
import {embeddingModes} from '../memory/estimate/embedding_mode';
import {paperMethodNames} from '../methods';
import {owloreDefaults} from '../owlore/optimizer/options';
import {scoreNames} from '../owlore/scores/score_kinds';
import {gradientCheckpointingChoices} from '../tape/recompute_layers';
import {learningRates, schedules} from '../training_defaults';
import {asBadOption} from './errors';
import type {DatasetForms, FineTuneOptions, SentOptions} from './options';
import {checkRunName} from './run_name';

/** Names of the backends, that which `'auto'` takes first is the first. */
export const backendNames = ['webgpu', 'wasm', 'webgl', 'cpu'] as const;

/** The options that have a default whatever the model and the data are. */
type Defaulted =
  | 'validationSplit'
  | 'method'
  | 'rank'
  | 'scores'
  | 'refreshInterval'
  | 'learningRate'
  | 'schedule'
  | 'warmup'
  | 'epochs'
  | 'batchSize'
  | 'accumulate'
  | 'seed'
  | 'embedding'
  | 'frozenDtype'
  | 'gradientCheckpointing'
  | 'backend';

/** The options of a training, checked. */
export interface Settings
  extends Omit<SentOptions, Defaulted | 'dataset'>, Required<Pick<FineTuneOptions, Defaulted>> {
  dataset: DatasetForms;
}

const defaults = {
  validationSplit: 0.05,
  method: 'owlore',
  scores: 'outlier',
  refreshInterval: owloreDefaults.refreshInterval,
  schedule: 'linear',
  warmup: 0,
  epochs: 1,
  batchSize: textDatasetDefaults.batchSize,
  accumulate: owloreDefaults.accumulate,
  seed: 0,
  embedding: 'full',
  frozenDtype: 'F32',
  gradientCheckpointing: owloreDefaults.gradientCheckpointing,
  backend: 'auto',
  dataset: {},
} as const;

const count: NumberRange = {integer: true, min: 1};
const countOr0: NumberRange = {integer: true, min: 0};

const ranges = {
  validationSplit: {exclusiveMin: 0, exclusiveMax: 1},
  gamma: {exclusiveMin: 0},
  rank: count,
  interval: count,
  refreshInterval: count,
  learningRate: {exclusiveMin: 0},
  warmup: countOr0,
  steps: count,
  epochs: {exclusiveMin: 0},
  batchSize: count,
  maxLength: count,
  accumulate: count,
  seed: seedRange,
  evaluateEvery: count,
  saveEvery: countOr0,
  sampleEvery: countOr0,
  threads: threadRange,
} satisfies Partial<Record<keyof SentOptions, NumberRange>>;

const choices = {
  method: paperMethodNames,
  scores: [...scoreNames, 'uniform'],
  schedule: Object.keys(schedules),
  embedding: embeddingModes,
  frozenDtype: frozenDtypes,
  gradientCheckpointing: gradientCheckpointingChoices,
  backend: ['auto', ...backendNames],
} satisfies Partial<Record<keyof SentOptions, readonly string[]>>;

const others = ['model', 'data', 'dataset', 'prompts', 'wasmPaths', 'run', 'token'] as const;

/**
 * @param owner The function that was called.
 * @throws FineTuningError that names the option, its value and what is allowed.
 */
export function resolveSettings(owner: string, options: SentOptions): Settings {
  return asBadOption(() => {
    checkKnown(owner, options, [
      ...new Set([...Object.keys(ranges), ...Object.keys(choices), ...others]),
    ]);
    const given = definedIn(options);
    for (const [name, range] of Object.entries(ranges)) {
      const value = given[name as keyof typeof ranges];
      if (value !== undefined) checkNumber(owner, name, value, range);
    }
    for (const [name, allowed] of Object.entries(choices)) {
      const value = given[name as keyof typeof choices];
      if (value !== undefined) checkChoice(owner, name, value, allowed);
    }
    if (given.steps !== undefined && given.epochs !== undefined)
      throw new Error(`${owner}: steps stand in the place of epochs; give one of them`);
    checkModelOption(owner, given.model);
    checkDataOption(owner, given.data);
    const {run = null, prompts, token = null, dataset = {}} = given;
    const isText = (value: unknown): boolean => typeof value === 'string';
    checkArgument(owner, 'token', token, 'a text', token === null || isText(token));
    checkRunName(owner, run);
    const arePrompts = prompts === undefined || (Array.isArray(prompts) && prompts.every(isText));
    checkArgument(owner, 'prompts', prompts, 'an array of texts', arePrompts);
    checkForms(owner, dataset);
    const {method = defaults.method} = given;
    return {
      ...defaults,
      rank: method === 'lora' ? loraDefaults.rank : owloreDefaults.rank,
      learningRate: learningRates[method],
      ...given,
    };
  });
}

function checkModelOption(owner: string, model: unknown): void {
  const isText = typeof model === 'string';
  // a worker has no folders by their paths
  if (isText ? isUrl(model) || parseHubName(model) : typeof model === 'object' && model) return;
  const advice =
    isText && /^\.{0,2}\//.test(model)
      ? `; for a folder of this site give new URL('${model}', location.href).href`
      : '';
  throw new Error(
    `${owner}: model must be 'owner/name' of the Hugging Face Hub, or 'owner/name@revision', the http(s) URL of a folder or of a ` +
      `GGUF file, files by name or the handle of a folder; got ${display(model)}${advice}`,
  );
}

function checkDataOption(owner: string, data: unknown): void {
  const isMap = typeof data === 'object' && data !== null && !(data instanceof Blob);
  const isFile = (file: unknown): boolean => typeof file === 'string' || file instanceof Blob;
  const files = isMap ? Object.entries(data) : [];
  const [wrong] = files.find(([, file]) => !isFile(file)) ?? [];
  if (files.length > 0 && wrong === undefined) return;
  throw new Error(
    `${owner}: data must be files by name, each a Blob or its text, {'chats.jsonl': file}` +
      (wrong === undefined ? '' : `; '${wrong}' is neither`),
  );
}

function checkForms(owner: string, forms: DatasetForms): void {
  const name = `${owner}: dataset`;
  checkKnown(name, forms, ['format', 'fields', 'packing', 'learnPrompts', 'template']);
  const {format, fields, packing, learnPrompts, template} = forms;
  if (format !== undefined) checkChoice(name, 'format', format, EXAMPLE_FORMATS);
  if (fields) checkFields(name, 'fields', fields);
  if (packing !== undefined) checkFlag(name, 'packing', packing);
  if (learnPrompts !== undefined) checkFlag(name, 'learnPrompts', learnPrompts);
  const isTemplate = template === undefined || typeof template === 'string';
  checkArgument(name, 'template', template, 'a text', isTemplate);
}
