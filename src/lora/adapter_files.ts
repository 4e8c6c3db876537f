/**
 * Adapters in the format of peft: `adapter_config.json`, and `adapter_model.safetensors` with `lora_A` `[rank, in]` and `lora_B`
 * `[out, rank]` of each module, as PyTorch's linear maps have them.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  isObject,
  jsonText,
  MAX_JSON_BYTES,
  parseJsonObject,
  show,
  type JsonObject,
} from '../files/json';
import {
  parseSafetensors,
  serializeSafetensors,
  type HostTensor,
  type SafetensorsFile,
} from '../files/safetensors';
import {openSink} from '../files/open_sink';
import type {ModelTarget} from '../files/sink';
import {readWhole, type FileSource} from '../files/source';
import {checkKnown, cut, display} from '../common/options';
import type {Adapter} from './adapter';
import {resolveLoraOptions, type LoraOptions} from './lora_options';
import {isOfLanguageModel} from './matrices';

/** Options of `Lora.save`. */
export interface SaveLoraOptions {
  /** The model that the adapters are for: its name on the Hugging Face Hub or its folder, of which peft loads it. Default none. */
  baseModel?: string;
  /** Its branch, tag or commit on the Hub. Default none: the Hub's `main`. */
  revision?: string;
}

export const ADAPTER_CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PREFIX = 'base_model.model.';
/** The most bytes that are read of adapters. */
const MAX_BYTES = 2 ** 31;

/** Names of A and B after that of the module; an embedding's are parameters of their own in peft. */
const parts = {
  linear: {A: 'lora_A.weight', B: 'lora_B.weight'},
  embedding: {A: 'lora_embedding_A', B: 'lora_embedding_B'},
} as const;

/** Keys of a config by which it would compute something else or train in another way, with what they must be. */
const plain: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ['LORA'],
  alora_invocation_tokens: [null],
  arrow_config: [null],
  bias: ['none'],
  fan_in_fan_out: [false],
  kasa_config: [null],
  lora_bias: [false],
  modules_to_save: [null],
  monteclora_config: [null],
  layer_replication: [null],
  target_parameters: [null],
  trainable_token_indices: [null],
  use_bdlora: [null, false],
  use_dora: [false],
  use_qalora: [false],
  use_rslora: [true, false],
  velora_config: [null],
};

/** Ways to start A and B by which peft takes what they are out of W, each time that it loads such an adapter: PiSSA, OLoRA and others. */
const CHANGES_MODEL = /^(pissa|olora|corda|loftq|lora_ga)/i;

/** Writes adapters; all files appear at the end, or none. */
export async function writeAdapters(
  target: ModelTarget,
  adapters: readonly Adapter[],
  targetModules: readonly string[],
  {rank, alpha, dropout}: Required<LoraOptions>,
  options: SaveLoraOptions,
): Promise<void> {
  const owner = 'Lora.save';
  checkKnown(owner, options, ['baseModel', 'revision']);
  const {baseModel = null, revision = null} = options;
  for (const [name, value] of Object.entries({baseModel, revision})) {
    if (value === null || typeof value === 'string') continue;
    throw new Error(`${owner}: ${name} must be a text; got ${display(value)}`);
  }
  const sink = openSink(owner, target);
  try {
    // all at once: a step that is made while values come would leave A of one step and B of the next
    const matrices = adapters.flatMap(({matrix, a, b}) => {
      const names = parts[matrix.isEmbedding ? 'embedding' : 'linear'];
      return [
        [`${PREFIX}${matrix.module}.${names.A}`, tf.transpose(a.read())],
        [`${PREFIX}${matrix.module}.${names.B}`, tf.transpose(b.read())],
      ] as Array<[string, tf.Tensor]>;
    });
    const tensors = new Map<string, HostTensor>();
    for (const [name, tensor] of matrices) {
      const values = await tensor.data();
      tensors.set(name, {shape: tensor.shape, values: Float32Array.from(values)});
      tensor.dispose();
    }
    const isOfLanguage = adapters.some(({matrix}) => isOfLanguageModel(matrix.module));
    const config = {
      peft_type: 'LORA',
      task_type: isOfLanguage ? 'CAUSAL_LM' : null,
      base_model_name_or_path: baseModel,
      revision,
      r: rank,
      lora_alpha: alpha,
      lora_dropout: dropout,
      target_modules: targetModules,
      bias: 'none',
      fan_in_fan_out: false,
      init_lora_weights: true,
      inference_mode: true,
      modules_to_save: null,
      use_dora: false,
      use_rslora: false,
      rank_pattern: {},
      alpha_pattern: {},
    };
    const files: Array<[string, Uint8Array]> = [
      [WEIGHTS, serializeSafetensors(tensors, {metadata: {format: 'pt'}})],
      [ADAPTER_CONFIG, new TextEncoder().encode(jsonText(config))],
    ];
    for (const [path, bytes] of files) {
      const file = await sink.create(path, bytes.length);
      try {
        await file.write(bytes);
      } finally {
        await file.close();
      }
    }
    await sink.commit(() => false);
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** What a folder of peft has: A `[in, rank]` and B `[rank, out]` by module, and the options that it names. */
export interface AdapterFiles {
  tensors: Map<string, Record<'A' | 'B', HostTensor>>;
  options: Required<Pick<LoraOptions, 'rank' | 'alpha' | 'dropout'>>;
  /** The model that the adapters are for, and its revision, as the folder names them: whatever a stranger has written there. */
  base: {model: unknown; revision: unknown};
}

/** What `adapter_config.json` says; null if there is none, so that the files are no adapter of peft. */
export async function readAdapterConfig(
  owner: string,
  files: FileSource,
): Promise<JsonObject | null> {
  const bytes = await readWhole(owner, files, ADAPTER_CONFIG, MAX_JSON_BYTES);
  return bytes && parseJsonObject(`${owner}: ${ADAPTER_CONFIG}`, bytes);
}

/** @throws Error if a file is missing or damaged, or if the adapters are of a kind that LoRA's own are not (named key). */
export async function readAdapters(owner: string, files: FileSource): Promise<AdapterFiles> {
  const lacks = (path: string, so: string): Error =>
    new Error(`${owner}: ${files.name} has no ${path}${so}`);
  const config = await readAdapterConfig(owner, files);
  if (!config) throw lacks(ADAPTER_CONFIG, ', so it is no adapter of peft');
  const options = optionsOf(owner, config);
  resolveLoraOptions(`${owner}: ${ADAPTER_CONFIG}`, options);
  const bytes = await readWhole(owner, files, WEIGHTS, MAX_BYTES);
  if (!bytes)
    throw lacks(WEIGHTS, '; of an adapter_model.bin, a pickle, make one with a newer peft');
  const {tensors: stored} = parsed(owner, bytes);
  const tensors: AdapterFiles['tensors'] = new Map();
  const found = new Map<string, Partial<Record<'A' | 'B', HostTensor>>>();
  for (const [name, tensor] of stored) {
    const [, module, part] =
      /^base_model\.model\.(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?$/.exec(name) ?? [];
    if (module === undefined || tensor.shape.length !== 2) {
      throw new Error(
        `${owner}: ${WEIGHTS} has ${show(name)}, which is no matrix of LoRA; adapters that change embedding or head of a language model are not taken`,
      );
    }
    found.set(module, {...found.get(module), [part!]: transposedOnHost(tensor)});
  }
  for (const [module, {A, B}] of found) {
    if (!A || !B) throw new Error(`${owner}: ${WEIGHTS} lacks ${A ? 'B' : 'A'} of ${show(module)}`);
    tensors.set(module, {A, B});
  }
  if (tensors.size === 0) throw new Error(`${owner}: ${WEIGHTS} has no tensor`);
  const base = {model: config['base_model_name_or_path'], revision: config['revision']};
  return {tensors, options, base};
}

/**
 * @param matrices Those of a model that can be adapted, `[in, out]`.
 * @throws Error unless adapters are for such a model: it names the first that is not, both shapes, and the model that they name.
 */
export function checkFits(
  owner: string,
  {tensors, options: {rank}, base}: AdapterFiles,
  matrices: ReadonlyArray<{module: string; shape: readonly number[]}>,
): void {
  const shapes = new Map(matrices.map(({module, shape}) => [module, shape]));
  const named =
    typeof base.model === 'string' ? `; ${ADAPTER_CONFIG} names ${show(base.model)} as theirs` : '';
  const otherModel = `${owner}: the adapters are of another model`;
  for (const [module, {A, B}] of tensors) {
    const [[inputs, r], [ranks, outputs]] = [A.shape, B.shape];
    const shape = shapes.get(module);
    if (!shape) {
      const all = cut([...shapes.keys()].join(', '));
      throw new Error(
        `${otherModel}: ${show(module)} is no matrix of this one that can be adapted${named}. Matrices: ${all}`,
      );
    }
    if (inputs !== shape[0] || outputs !== shape[1]) {
      throw new Error(
        `${otherModel}: theirs has ${show(module)} of shape [${inputs}, ${outputs}], and this one of [${shape.join(', ')}]${named}`,
      );
    }
    if (r === rank && ranks === rank) continue;
    throw new Error(
      `${owner}: ${WEIGHTS} has A [${A.shape.join(', ')}] and B [${B.shape.join(', ')}] of ${show(module)}, and ${ADAPTER_CONFIG} r: ${rank}`,
    );
  }
}

function parsed(owner: string, bytes: Uint8Array): SafetensorsFile {
  try {
    return parseSafetensors(bytes);
  } catch (error) {
    throw new Error(`${owner}: ${WEIGHTS}: ${(error as Error).message}`, {cause: error});
  }
}

function optionsOf(owner: string, config: JsonObject): AdapterFiles['options'] {
  const fail = (key: string, what: string): never => {
    throw new Error(`${owner}: ${ADAPTER_CONFIG} has ${key}: ${show(config[key])}, ${what}`);
  };
  for (const [key, allowed] of Object.entries(plain)) {
    const value = config[key];
    if (value === undefined ? key === 'peft_type' : !allowed.includes(value)) {
      fail(key, 'which this library does not compute');
    }
  }
  const start = config['init_lora_weights'];
  if (typeof start === 'string' && CHANGES_MODEL.test(start)) {
    fail(
      'init_lora_weights',
      "which changes the model's own matrices, too, as this library does not; save_pretrained of peft with " +
        'path_initial_model_for_weight_conversion makes plain LoRA of PiSSA, CorDA and OLoRA',
    );
  }
  for (const key of ['rank_pattern', 'alpha_pattern']) {
    const pattern = config[key] ?? {};
    if (!isObject(pattern) || Object.keys(pattern).length > 0)
      fail(key, 'where all matrices must have one rank and alpha');
  }
  const number = (key: string, fallback: number): number => {
    const value = config[key] ?? fallback;
    return typeof value === 'number' ? value : fail(key, 'which is no number');
  };
  // peft's defaults; rsLoRA multiplies by α / √rank, as LoRA does with another α
  const rank = number('r', 8);
  const factor = config['use_rslora'] === true ? Math.sqrt(rank) : 1;
  return {
    rank,
    alpha: factor * number('lora_alpha', 8),
    dropout: number('lora_dropout', 0),
  };
}

function transposedOnHost({shape, values}: HostTensor): HostTensor {
  const [r, c] = shape as [number, number];
  const turned = new Float32Array(values.length);
  for (let i = 0; i < r; i++) {
    for (let j = 0; j < c; j++) turned[j * r + i] = values[i * c + j]!;
  }
  return {shape: [c, r], values: turned};
}
