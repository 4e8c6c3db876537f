import {checkChoice, checkFlag, checkNumber} from '../../options';
import {resolveConfig, type LlamaConfig, type RopeScaling} from '../config';
import {isObject, show, type JsonObject} from './json';

/** What transformers takes where `config.json` of a model type has no such key. */
interface Defaults {
  num_key_value_heads: number | null;
  max_position_embeddings: number;
  sliding_window: number | null;
}

export const modelTypes = ['llama', 'mistral', 'qwen2'] as const;
export type ModelType = (typeof modelTypes)[number];

/** What `architectures` of `config.json` says of a model with a head for the next token. */
export const architectures: Readonly<Record<ModelType, string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
};

const defaultsOf: Readonly<Record<ModelType, Defaults>> = {
  llama: {num_key_value_heads: null, max_position_embeddings: 2048, sliding_window: null},
  mistral: {num_key_value_heads: 8, max_position_embeddings: 131072, sliding_window: 4096},
  qwen2: {num_key_value_heads: 32, max_position_embeddings: 32768, sliding_window: 4096},
};
/** Where there is no such key, in all model types. */
const RMS_NORM_EPS = 1e-6;
const INITIALIZER_RANGE = 0.02;
const ROPE_THETA = 10000;
const MAX_WINDOW_LAYERS = 28;

/** Keys that change the computation unless they have one of these values, for any model type. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ['silu', 'swish'],
  mlp_bias: [false],
  attention_dropout: [0],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  use_mrope: [false],
  quantization_config: [],
  compression_config: [],
};

/**
 * The model that a Hugging Face `config.json` describes, as transformers 4 or 5 writes it. A key
 * that transformers' models of this type do not read is passed over.
 *
 * @param owner What messages start with: who reads which file.
 * @throws if the model type is unknown, or if a key is missing, out of range, or asks for what these
 *   models do not compute.
 */
export function readConfigJson(owner: string, json: JsonObject): Required<LlamaConfig> {
  const {model_type: type} = json;
  checkChoice(owner, 'model_type', type, modelTypes);
  checkArchitectures(owner, json, type);
  for (const [key, values] of Object.entries(neutral)) checkNeutral(owner, json, key, values);
  if (type !== 'qwen2') checkNeutral(owner, json, 'attention_bias', [false]);
  const defaults = defaultsOf[type];
  const {
    num_attention_heads,
    num_key_value_heads = defaults.num_key_value_heads,
    max_position_embeddings = defaults.max_position_embeddings,
    rms_norm_eps = RMS_NORM_EPS,
    initializer_range = INITIALIZER_RANGE,
    tie_word_embeddings = false,
  } = json;
  const count = (key: string, value: unknown): number => {
    checkNumber(owner, key, value, {integer: true, min: 1});
    return value;
  };
  checkNumber(owner, 'rms_norm_eps', rms_norm_eps, {exclusiveMin: 0});
  checkNumber(owner, 'initializer_range', initializer_range, {min: 0});
  checkFlag(owner, 'tie_word_embeddings', tie_word_embeddings);
  const layers = count('num_hidden_layers', json['num_hidden_layers']);
  const positions = count('max_position_embeddings', max_position_embeddings);
  const config: LlamaConfig = {
    vocabSize: count('vocab_size', json['vocab_size']),
    hiddenSize: count('hidden_size', json['hidden_size']),
    intermediateSize: count('intermediate_size', json['intermediate_size']),
    numHiddenLayers: layers,
    numAttentionHeads: count('num_attention_heads', num_attention_heads),
    numKeyValueHeads: count('num_key_value_heads', num_key_value_heads ?? num_attention_heads),
    rmsNormEps: rms_norm_eps,
    ...readRope(owner, json, positions),
    attentionBias: type === 'qwen2',
    slidingWindow: readWindow(owner, json, type, layers),
    maxPositionEmbeddings: positions,
    tieWordEmbeddings: tie_word_embeddings,
    initializerRange: initializer_range,
  };
  if (json['head_dim'] != null) config.headDim = count('head_dim', json['head_dim']);
  try {
    return resolveConfig(config);
  } catch (error) {
    throw new Error(`${owner}: ${(error as Error).message}`, {cause: error});
  }
}

/** Throws if the checkpoint is one of another kind, with another head or none. */
function checkArchitectures(owner: string, {architectures: given}: JsonObject, type: ModelType) {
  const wanted = architectures[type];
  const names = given ?? [wanted];
  const found = Array.isArray(names) && names.some((name) => isSame(name, wanted));
  if (found) return;
  throw new Error(
    `${owner}: architectures must name ${wanted}, a model with a head for the next token; ` +
      `got ${show(given)}`,
  );
}

/** Early checkpoints write LLaMA in other ways. */
function isSame(name: unknown, wanted: string): boolean {
  return typeof name === 'string' && name.toLowerCase() === wanted.toLowerCase();
}

function checkNeutral(
  owner: string,
  json: JsonObject,
  key: string,
  values: readonly unknown[],
): void {
  const value = json[key];
  if (value === undefined || value === null || values.includes(value)) return;
  const allowed = values.map(show).join(' or ') || 'absent';
  throw unsupported(owner, key, value, `it must be ${allowed}`);
}

function unsupported(owner: string, key: string, value: unknown, what: string): Error {
  return new Error(
    `${owner}: ${key} ${show(value)} changes what the model computes and is not supported: ${what}`,
  );
}

/** The rotary embedding, from the keys of transformers 5, of transformers 4, or both. */
function readRope(
  owner: string,
  json: JsonObject,
  positions: number,
): {ropeTheta: number; ropeScaling: RopeScaling | null} {
  const given = ['rope_parameters', 'rope_scaling'].filter((key) => json[key] != null);
  const read = given.map((key) => readRopeKey(owner, json, key, positions));
  const [first, second] = read;
  if (second && JSON.stringify(first) !== JSON.stringify(second)) {
    throw new Error(
      `${owner}: rope_parameters ${show(json['rope_parameters'])} and rope_scaling ` +
        `${show(json['rope_scaling'])} disagree; remove the one that is wrong`,
    );
  }
  return first ?? {ropeTheta: readTheta(owner, json, {}), ropeScaling: null};
}

const scalingKeys = [
  'factor',
  'low_freq_factor',
  'high_freq_factor',
  'original_max_position_embeddings',
] as const;

function readRopeKey(
  owner: string,
  json: JsonObject,
  key: string,
  positions: number,
): {ropeTheta: number; ropeScaling: RopeScaling | null} {
  const rope = json[key];
  if (!isObject(rope)) throw new Error(`${owner}: ${key} must be an object; got ${show(rope)}`);
  const type = rope['rope_type'] ?? rope['type'] ?? 'default';
  if (type !== 'default' && type !== 'llama3') {
    throw unsupported(owner, `${key}.rope_type`, type, 'it must be "default" or "llama3"');
  }
  const known = ['rope_type', 'type', 'rope_theta', ...(type === 'llama3' ? scalingKeys : [])];
  for (const [name, value] of Object.entries(rope)) {
    if (known.includes(name) || value === null) continue;
    if (name === 'partial_rotary_factor' && value === 1) continue;
    const allowed = known.join(', ');
    throw unsupported(owner, `${key}.${name}`, value, `a "${type}" one has ${allowed}`);
  }
  const ropeTheta = readTheta(owner, json, rope);
  if (type === 'default') return {ropeTheta, ropeScaling: null};
  const {factor, low_freq_factor, high_freq_factor} = rope;
  const original =
    json['original_max_position_embeddings'] ??
    rope['original_max_position_embeddings'] ??
    positions;
  checkNumber(owner, `${key}.factor`, factor, {min: 1});
  checkNumber(owner, `${key}.low_freq_factor`, low_freq_factor, {exclusiveMin: 0});
  checkNumber(owner, `${key}.high_freq_factor`, high_freq_factor, {exclusiveMin: low_freq_factor});
  checkNumber(owner, `${key}.original_max_position_embeddings`, original, {integer: true, min: 1});
  const ropeScaling = {
    factor,
    lowFreqFactor: low_freq_factor,
    highFreqFactor: high_freq_factor,
    originalMaxPositionEmbeddings: original,
  };
  return {ropeTheta, ropeScaling};
}

function readTheta(owner: string, json: JsonObject, rope: JsonObject): number {
  const theta = rope['rope_theta'] ?? json['rope_theta'] ?? ROPE_THETA;
  checkNumber(owner, 'rope_theta', theta, {exclusiveMin: 0});
  if (json['rope_theta'] != null && json['rope_theta'] !== theta) {
    throw new Error(
      `${owner}: rope_theta ${show(json['rope_theta'])} and ${theta} of rope_parameters disagree; ` +
        'remove the one that is wrong',
    );
  }
  return theta;
}

/** The window of all layers; null for none. */
function readWindow(
  owner: string,
  json: JsonObject,
  type: ModelType,
  layers: number,
): number | null {
  if (type === 'llama') checkNeutral(owner, json, 'sliding_window', []);
  const {sliding_window = defaultsOf[type].sliding_window, use_sliding_window = false} = json;
  if (type === 'qwen2') checkFlag(owner, 'use_sliding_window', use_sliding_window);
  const window = type === 'qwen2' && !use_sliding_window ? null : sliding_window;
  if (window !== null) {
    checkNumber(owner, 'sliding_window', window, {integer: true, min: 1});
  }
  const {layer_types: kinds} = json;
  if (kinds != null) return readLayerTypes(owner, kinds, type, window, layers);
  if (type !== 'qwen2' || window === null) return window;
  const {max_window_layers: full = MAX_WINDOW_LAYERS} = json;
  checkNumber(owner, 'max_window_layers', full, {integer: true});
  if (full <= 0) return window;
  if (full >= layers) return null;
  throw unsupported(
    owner,
    'max_window_layers',
    full,
    `all ${layers} layers must have the sliding window, or none`,
  );
}

/** As `readWindow`, where `layer_types` says which layers have one. */
function readLayerTypes(
  owner: string,
  kinds: unknown,
  type: ModelType,
  window: number | null,
  layers: number,
): number | null {
  const key = 'layer_types';
  if (!Array.isArray(kinds) || kinds.length !== layers) {
    throw new Error(
      `${owner}: ${key} must have an entry for each of ${layers} layers; got ${show(kinds)}`,
    );
  }
  const all = (kind: string): boolean => kinds.every((one) => one === kind);
  // a Mistral model has its window in all layers, whatever else it is told
  if (all('full_attention') && (window === null || type === 'qwen2')) return null;
  if (all('sliding_attention') && window !== null) return window;
  const wanted = window === null ? '"full_attention"' : '"sliding_attention"';
  const or = window !== null && type === 'qwen2' ? ', or all "full_attention"' : '';
  throw unsupported(owner, key, kinds, `with sliding_window ${window} all must be ${wanted}${or}`);
}
