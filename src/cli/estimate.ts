/** `tfjs-owlore estimate`: the memory of a training before it begins. */
import * as tf from '@tensorflow/tfjs-core';
import {estimateMemory, largestTensor, type MemoryEstimate} from '../memory/estimate/estimate';
import {engines, ownOptions, type Engine, type EstimateOptions} from '../memory/estimate/options';
import {parseJsonObject, type JsonObject} from '../files/json';
import {readConfigJson} from '../llama/files/config_json';
import {readModelConfig} from '../llama/files/load_llama';
import type {ResolvedConfig} from '../llama/config';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import {defineCommand, type Context} from './command';
import {locate} from './model_options';
import {dataOptions} from './data_options';
import {estimateOptionsOf, hasRank, type SizedOptions} from '../memory/estimated_settings';
import {finetuneOptions} from './finetune_options';
import {rankOf} from './lora_method';
import {flagsOf} from './memory_check';
import {MemoryFit, type Largest} from '../memory/memory_fit';
import {nextTurn} from '../common/next_turn';
import {bytesText, memoryFor, memoryLimit, type MemoryLimit} from '../memory/limit';
import {
  choice,
  group,
  isThere,
  modelSource,
  number,
  required,
  type OptionDescription,
  type SettingsOf,
} from './options';
import {backendNames, type BackendName} from './register_backend';
import {inOneLine} from './style';
import {newTable} from './table';
import {asUsage, messageOf} from './usage_error';
import {readUtf8} from './utf8_file';
import {updateRules} from '../owlore/optimizer/rules';

const size: OptionDescription<number | string | undefined> = {
  help: 'memory to stay in, such as 4GB or 800MB (default: what this machine has)',
  placeholder: '<bytes>',
  default: undefined,
  parse: (text) => text,
  check(owner, name, value) {
    if (bytesIn(value) > 0) return;
    throw new Error(
      `${owner}: ${name} must be a size with its unit, such as 4GB, 800MB or 4GiB; got ${String(value)}`,
    );
  },
};

const source = modelSource(
  "a model of Hugging Face's transformers, whose weights are not read: its folder, its config.json, a URL, or its name on the Hub; or a GGUF file",
);

const {method, gamma, rank, embedding, accumulate, gradientCheckpointing, frozenDtype} =
  finetuneOptions;
const {update, basis, targets, loraDropout} = finetuneOptions;

const options = {
  ...group('Model', {
    model: required({
      ...source,
      check(owner: string, name: string, value: unknown) {
        const isConfig = typeof value === 'string' && value.endsWith('.json');
        if (!isConfig || !isThere('file', value)) source.check(owner, name, value);
      },
    }),
    backend: choice<BackendName, 'tensorflow'>(
      'the backend that would compute',
      backendNames,
      'tensorflow',
    ),
    engine: choice<Engine, 'tfjs'>(
      'what would train; torch: PyTorch, as the OwLore paper measured it in bfloat16',
      engines,
      'tfjs',
    ),
  }),
  ...{method, gamma, rank, embedding, update, basis, targets, loraDropout},
  ...{accumulate, gradientCheckpointing, frozenDtype},
  ...group('Data', {
    ...{maxLength: dataOptions.maxLength, batchSize: dataOptions.batchSize},
    countedLabels: number('most of a batch that is answers, as a part of its positions', {
      ...{exclusiveMin: 0, max: 1, default: 1},
    }),
  }),
  ...group('Memory', {budget: size}),
};

type Settings = SettingsOf<typeof options>;

export const estimate = defineCommand({
  name: 'estimate',
  summary: 'Says how much memory a fine-tuning takes, and what fits; it loads no weights.',
  examples: [
    [
      'OwLore on tensorflow',
      'estimate --model HuggingFaceTB/SmolLM2-135M-Instruct --batch-size 8 --max-length 128',
    ],
    ['what fits in 4 GB', 'estimate --model HuggingFaceTB/SmolLM2-135M-Instruct --budget 4GB'],
    ["the paper's setting", 'estimate --model config.json --method lisa --engine torch'],
  ],
  options,
  meaningless,
  async run(all, context) {
    const settings = {...all, rank: rankOf(all, context.given)};
    const config = await readConfig(settings, context);
    const described = asUsage(() => readConfigJson(settings.model, config));
    const estimated = optionsOf(settings, described);
    const result = asUsage(() => estimateMemory(config, estimated));
    print(settings, estimated, result, context);
    const answered =
      settings.engine === 'tfjs'
        ? await answer(settings, {config, described, total: result.total}, context)
        : {};
    const adapterLimits =
      settings.backend === 'webgpu' ? await checkAdapter(config, estimated, context) : {};
    return {
      model: settings.model,
      options: estimated,
      bytes: result,
      ...answered,
      ...adapterLimits,
    };
  },
});

function meaningless({method, embedding, engine, update}: Settings): Record<string, string> {
  const {lowRank, sampling, lora}: MethodParts = paperMethods[method];
  const byMethod = `--method ${method}`;
  const byEngine = `--engine ${engine}`;
  const onlyTfjs: Array<keyof Settings> = [
    ...ownOptions.tfjs.flatMap((name) =>
      name === 'headInLoss' ? [] : [name === 'dropout' ? ('loraDropout' as const) : name],
    ),
    'budget',
  ];
  return {
    ...(!lowRank && !lora && embedding !== 'low-rank' && {rank: byMethod}),
    ...(sampling === null && {gamma: byMethod}),
    ...(sampling === null && !lora && {frozenDtype: byMethod}),
    ...(!trainsRest(method) && {embedding: byMethod}),
    ...(!lowRank && embedding !== 'low-rank' && {update: byMethod, basis: byMethod}),
    ...(updateRules[update].basis && {basis: `--update ${update}`}),
    ...(!lora && {targets: byMethod, loraDropout: byMethod}),
    ...(engine === 'torch' && Object.fromEntries(onlyTfjs.map((name) => [name, byEngine]))),
  };
}

async function readConfig({model}: Settings, context: Context): Promise<JsonObject> {
  if (model.endsWith('.json') && isThere('file', model)) {
    return asUsage(() => parseJsonObject(model, new TextEncoder().encode(readUtf8(model))));
  }
  const {source} = await locate({model}, context);
  return readModelConfig('estimate', source);
}

function optionsOf(settings: Settings, config: ResolvedConfig): SizedOptions {
  const all = estimateOptionsOf(settings, config);
  if (settings.engine === 'tfjs') return {...all, countedLabels: settings.countedLabels};
  const {method, batchSize, maxLength, gamma, rank} = all;
  return {
    ...{method, batchSize, maxLength, rank, engine: 'torch'},
    ...(gamma !== undefined && {gamma}),
  };
}

function print(
  settings: Settings,
  {method, gamma, rank, batchSize, maxLength}: EstimateOptions,
  {total, ...parts}: MemoryEstimate,
  {console}: Context,
): void {
  const {model, backend, engine} = settings;
  const {title}: MethodParts = paperMethods[method!];
  const how = [
    ...(gamma === undefined ? [] : [`γ ${gamma}`]),
    ...(hasRank(settings) ? [`rank ${rank}`] : []),
    `batches of ${batchSize} × ${maxLength} tokens`,
  ];
  const where = engine === 'torch' ? "PyTorch, as in the paper's tables" : backend;
  console.print(`${title} of ${inOneLine(model)} on ${where}: ${how.join(', ')}`);
  const table = newTable(['', engine === 'torch' ? 'all' : 'in the step that takes the most'], [1]);
  for (const [part, bytes] of Object.entries(parts)) table.push([part, bytesText(bytes)]);
  table.push(['together', bytesText(total)]);
  console.print(table.toString());
}

/** The model's configuration, as JSON and as read; and `total`, the bytes of the training's tensors. */
interface Estimated {
  config: JsonObject;
  described: ResolvedConfig;
  total: number;
}

/** What fits into the budget, or into the memory that there is; printed. */
async function answer(
  settings: Settings,
  {config, described, total}: Estimated,
  {console, given}: Context,
): Promise<object> {
  const {backend, budget} = settings;
  const limit = limitOf(backend, budget === undefined ? undefined : bytesIn(budget));
  const needed = memoryFor(backend, total);
  const where = {
    tensorflow: 'The process takes',
    cpu: 'The process takes',
    wasm: 'The heap takes',
    webgpu: 'The device holds',
  };
  console.print(`${where[backend]} some ${bytesText(needed)}.`);
  if (!limit) return {needed};
  const fit = new MemoryFit({
    ...{config, described, settings, meaningless},
    loraRank: rankOf({...settings, method: 'lora'}, given),
    optionsOf: (changed) => optionsOf(changed, described),
    fits: (tensors) => memoryFor(backend, tensors) <= limit.bytes,
    nextTurn,
  });
  const fits = await fit.fitsAsGiven();
  const room = `${limit.what} of ${bytesText(limit.bytes)}`;
  if (fits) {
    const largest = await fit.largest();
    console.print(
      `That fits into ${room}. The largest that fit, each with all else as above: ${listOf(largest)}.`,
    );
    return {needed, limit: limit.bytes, fits, largest, proposals: []};
  }
  const proposals = (await fit.proposals()).map(({change, tensors}) => ({
    options: change,
    needed: memoryFor(backend, tensors),
  }));
  if (proposals.length === 0) {
    const {change, tensors} = await fit.smallest();
    console.print(
      `That does not fit into ${room}. The least is ${bytesText(memoryFor(backend, tensors))}, by ${flagsOf(change)}.`,
    );
  } else {
    const each = proposals.length === 1 ? 'This' : 'Each of these';
    console.print(`That does not fit into ${room}. ${each} would, with all else as above:`);
    const table = newTable(['with', 'it takes'], [1]);
    for (const {options, needed} of proposals) table.push([flagsOf(options), bytesText(needed)]);
    console.print(table.toString());
  }
  return {needed, limit: limit.bytes, fits, largest: {}, proposals};
}

/** The budget, of which wasm cannot use more than its heap; without one, the memory that there is. */
function limitOf(backend: BackendName, budget: number | undefined): MemoryLimit | null {
  const there = memoryLimit(backend);
  if (budget === undefined) return there;
  const isTooMuch = backend === 'wasm' && there !== null && budget > there.bytes;
  return isTooMuch ? there : {bytes: budget, what: 'the budget'};
}

/** Whether the adapter has buffers for the largest tensor; printed. Its memory as a whole cannot be asked for. */
async function checkAdapter(
  config: JsonObject,
  estimated: SizedOptions,
  {console, selectBackend}: Context,
): Promise<object> {
  const largest = largestTensor(config, estimated);
  console.print(`The largest tensor has ${bytesText(largest)}.`);
  const backend = await selectBackend('webgpu').catch(messageOf);
  if (backend !== 'webgpu') {
    console.print(`How large a buffer may be is not known: ${backend}.`);
    return {largestTensor: largest};
  }
  // tfjs's type of a backend does not have the device of webgpu's.
  const {limits} = (tf.backend() as unknown as {device: {limits: Record<string, number>}}).device;
  const max = Math.min(limits['maxBufferSize']!, limits['maxStorageBufferBindingSize']!);
  const fits = largest <= max;
  console.print(
    `The adapter has buffers of up to ${bytesText(max)}: it ${fits ? 'fits' : 'does not fit'}.`,
  );
  return {largestTensor: largest, largestBuffer: max, fitsAdapter: fits};
}

function listOf({gamma, rank, batchSize}: Largest): string {
  const named = {gamma, rank, 'batches of': batchSize};
  return Object.entries(named)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]))
    .join(', ');
}

const UNITS: Readonly<Record<string, number>> = {
  ...{B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12},
  ...{KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30, TIB: 2 ** 40},
};

/** The bytes of a size, which a config file may have as a number too; NaN if it is none. */
function bytesIn(size: unknown): number {
  if (typeof size === 'number') return Number.isFinite(size) ? size : NaN;
  const [, amount, unit] = /^([\d.]+)\s*([a-z]*)$/i.exec(String(size).trim()) ?? [];
  return Number(amount) * (UNITS[unit?.toUpperCase() ?? ''] ?? NaN);
}
