/** Checkpoints of random weights, to measure what a large model costs: that does not depend on its values. */
import {closeSync, mkdirSync, openSync, writeFileSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {readConfigJson} from '../src/llama/files/config_json';
import {encode, type FloatType} from '../src/files/float_type';
import {elements, serializeHeader} from '../src/files/safetensors_header';
import {weightShapes} from '../src/llama/files/weight_shapes';
import {createRandom, type Random} from '../src/common/random';

/** `config.json` as Hugging Face writes it. */
export type ConfigJson = Readonly<Record<string, unknown>>;

/**
 * SmolLM2-135M, 134.5 million parameters: `config.json` of `HuggingFaceTB/SmolLM2-135M` on the Hugging Face Hub, as far as
 * it is about the model.
 */
export const smolLM2 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  bos_token_id: 0,
  eos_token_id: 0,
  hidden_act: 'silu',
  hidden_size: 576,
  initializer_range: 1 / 24,
  intermediate_size: 1536,
  max_position_embeddings: 8192,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 100000,
  tie_word_embeddings: true,
  use_cache: true,
  vocab_size: 49152,
} as const satisfies ConfigJson;

/** The shape of Llama-3.2-1B, 1.24 billion parameters, after `config.json` of `meta-llama/Llama-3.2-1B` on the Hugging Face Hub. */
export const llama32of1B = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  bos_token_id: 128000,
  eos_token_id: 128001,
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 2048,
  initializer_range: 0.02,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000,
  tie_word_embeddings: true,
  use_cache: true,
  vocab_size: 128256,
} as const satisfies ConfigJson;

/** Numbers that are drawn and written at a time; even, because two are drawn together. */
const PIECE = 2 ** 22;

export interface RandomCheckpointOptions {
  /** Default `'BF16'`, in which checkpoints are published. */
  dtype?: FloatType;
  /** An integer from 0 to 2³² − 1; the same seed gives the same bytes. Default 1. */
  seed?: number;
}

export const randomCheckpointDefaults = {
  dtype: 'BF16',
  seed: 1,
} as const satisfies Required<RandomCheckpointOptions>;

const torchNames: Readonly<Record<FloatType, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/**
 * Writes `config.json` and `model.safetensors`, piece by piece: matrices from a normal distribution of the
 * deviation `initializer_range`, norms of ones, biases of zeros.
 *
 * @param folder made where there is none; files of the same names are overwritten.
 * @returns the number of parameters.
 */
export function writeRandomCheckpoint(
  folder: string,
  config: ConfigJson,
  options: RandomCheckpointOptions = {},
): number {
  const {dtype, seed}: Required<RandomCheckpointOptions> = {
    ...randomCheckpointDefaults,
    ...options,
  };
  const model = readConfigJson('writeRandomCheckpoint', config);
  const weights = [...weightShapes(model)];
  const random = createRandom(seed);
  mkdirSync(folder, {recursive: true});
  const json = {...config, torch_dtype: torchNames[dtype]};
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(json, null, 2)}\n`);
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  try {
    const entries = weights.map(({name, shape}) => ({name, shape, dtype}));
    writeSync(file, serializeHeader(entries, {format: 'pt'}));
    for (const {name, shape} of weights) {
      const size = elements(shape);
      for (let at = 0; at < size; at += PIECE) {
        const values = new Float32Array(Math.min(PIECE, size - at));
        if (shape.length > 1) drawNormal(values, model.initializerRange, random);
        else if (name.endsWith('norm.weight')) values.fill(1);
        writeSync(file, encode(values, dtype));
      }
    }
  } finally {
    closeSync(file);
  }
  return weights.reduce((sum, {shape}) => sum + elements(shape), 0);
}

/** Fills `values` with normally distributed numbers (Box & Muller 1958). */
function drawNormal(values: Float32Array, deviation: number, random: Random): void {
  for (let i = 0; i < values.length; i += 2) {
    // 1 − next() is never 0.
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.next()));
    const angle = 2 * Math.PI * random.next();
    values[i] = radius * Math.cos(angle);
    // Beyond an odd end this is no element, and nothing is stored.
    values[i + 1] = radius * Math.sin(angle);
  }
}
