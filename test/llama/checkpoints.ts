import {readFileSync, readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type * as tfl from '@tensorflow/tfjs-layers';
import {parseSafetensors} from '../../src/files/safetensors';
import {
  createLlama,
  setLlamaWeights,
  type ArchitectureName,
  type HostTensor,
  type LayerType,
  type LlamaConfig,
} from '../../src/llama';

/**
 * Those of `test/fixtures/llama/`, each with reference numbers. All but `llama2` have grouped queries, `llama3`, `qwen2`, `qwen3`
 * and `smollm2` a tied head, `llama3` stretched wavelengths, `mistral` a sliding window and bfloat16,
 * `qwen2` biases and float16, `qwen3` norms of queries and keys, `gemma3` these and all that is its own.
 */
export const referenceNames = [
  'llama2',
  'llama3',
  'mistral',
  'qwen2',
  'qwen3',
  'gemma3',
  'smollm2',
] as const;

export type CheckpointName = (typeof referenceNames)[number] | 'llama2Outliers' | 'llama3Outliers';

/** Those that are elsewhere. */
const elsewhere: Readonly<Record<string, string>> = {
  llama2Outliers: 'owl/llama2_outliers',
  llama3Outliers: 'owl/llama3_outliers',
};

type RopeJson = Record<string, number> & {rope_type: string};

const folder = (name: CheckpointName): string =>
  fileURLToPath(new URL(`../fixtures/${elsewhere[name] ?? `llama/${name}`}/`, import.meta.url));

/** The checkpoint's sizes, from its `config.json`. */
export function readConfig(name: CheckpointName): LlamaConfig {
  const c = JSON.parse(readFileSync(`${folder(name)}config.json`, 'utf8')) as Record<
    string,
    number
  > & {
    model_type: string;
    sliding_window?: number | null;
    rope_parameters: RopeJson & Record<'full_attention' | 'sliding_attention', RopeJson>;
    layer_types: LayerType[];
    tie_word_embeddings: boolean;
  };
  const isGemma = c.model_type === 'gemma3_text';
  const rope = isGemma ? c.rope_parameters.full_attention : c.rope_parameters;
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
    architecture: isGemma ? 'gemma3' : (c.model_type as ArchitectureName),
    attentionBias: c.model_type === 'qwen2',
    slidingWindow: c.sliding_window ?? null,
    ...(isGemma && {
      layerTypes: c.layer_types,
      ropeLocalBaseFreq: c.rope_parameters.sliding_attention['rope_theta']!,
      queryPreAttnScalar: c['query_pre_attn_scalar']!,
    }),
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
