import {readFileSync, readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type * as tfl from '@tensorflow/tfjs-layers';
import {
  createLlama,
  parseSafetensors,
  setLlamaWeights,
  type ArchitectureName,
  type HostTensor,
  type LlamaConfig,
} from '../../src/llama';

/**
 * The checkpoints of the fixtures. All but `llama2…` have grouped queries, `llama3…`, `qwen2`, `qwen3`
 * and `smollm2` a tied head, `llama3…` stretched wavelengths, `mistral` a sliding window and bfloat16,
 * `qwen2` biases and float16, `qwen3` norms of queries and keys.
 */
const folders = {
  llama2: 'llama/llama2',
  llama3: 'llama/llama3',
  mistral: 'llama/mistral',
  qwen2: 'llama/qwen2',
  qwen3: 'llama/qwen3',
  smollm2: 'llama/smollm2',
  llama2Outliers: 'owl/llama2_outliers',
  llama3Outliers: 'owl/llama3_outliers',
};

export type CheckpointName = keyof typeof folders;

/** Those of `test/fixtures/llama/`, each with reference numbers. */
export const referenceNames = ['llama2', 'llama3', 'mistral', 'qwen2', 'qwen3', 'smollm2'] as const;

const folder = (name: CheckpointName): string =>
  fileURLToPath(new URL(`../fixtures/${folders[name]}/`, import.meta.url));

/** The checkpoint's sizes, from its `config.json`. */
export function readConfig(name: CheckpointName): LlamaConfig {
  const c = JSON.parse(readFileSync(`${folder(name)}config.json`, 'utf8')) as Record<
    string,
    number
  > & {
    model_type: string;
    sliding_window?: number | null;
    rope_parameters: Record<string, number> & {rope_type: string};
    tie_word_embeddings: boolean;
  };
  const rope = c.rope_parameters;
  return {
    vocabSize: c['vocab_size']!,
    hiddenSize: c['hidden_size']!,
    intermediateSize: c['intermediate_size']!,
    numHiddenLayers: c['num_hidden_layers']!,
    numAttentionHeads: c['num_attention_heads']!,
    numKeyValueHeads: c['num_key_value_heads']!,
    headDim: c['head_dim'] ?? c['hidden_size']! / c['num_attention_heads']!,
    rmsNormEps: c['rms_norm_eps']!,
    ropeTheta: rope['rope_theta']!,
    ropeScaling:
      rope.rope_type === 'llama3'
        ? {
            factor: rope['factor']!,
            lowFreqFactor: rope['low_freq_factor']!,
            highFreqFactor: rope['high_freq_factor']!,
            originalMaxPositionEmbeddings: rope['original_max_position_embeddings']!,
          }
        : null,
    architecture: c.model_type as ArchitectureName,
    attentionBias: c.model_type === 'qwen2',
    slidingWindow: c.sliding_window ?? null,
    maxPositionEmbeddings: c['max_position_embeddings']!,
    tieWordEmbeddings: c.tie_word_embeddings,
  };
}

/** All tensors of the checkpoint, of all its files. */
export function readCheckpoint(name: CheckpointName): Map<string, HostTensor> {
  const files = readdirSync(folder(name)).filter((file) => file.endsWith('.safetensors'));
  return new Map(
    files.flatMap((file) => [...parseSafetensors(readFileSync(folder(name) + file)).tensors]),
  );
}

/** The checkpoint as a model; the caller disposes of it. */
export function loadCheckpoint(name: CheckpointName): tfl.LayersModel {
  const model = createLlama(readConfig(name));
  setLlamaWeights(model, readCheckpoint(name));
  return model;
}
