/** The folder demo/model, in Hugging Face's format: pretrain.ts writes it, and demo.ts starts from it. */
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import type * as tfl from '@tensorflow/tfjs-layers';
import {Tokenizer} from '@huggingface/tokenizers';
import {parseSafetensors, serializeSafetensors} from '../src/files/safetensors';
import {END_OF_TEXT} from './bpe';
import {createLlama, getLlamaWeights, setLlamaWeights, type LlamaConfig} from '../src/llama/index';

const folder = new URL('model/', import.meta.url);

/** Sizes of the pre-trained model; `maxPositionEmbeddings` is the length of the windows that it was trained on. */
export function readConfig() {
  const config = readJson('config.json') as HuggingFaceConfig;
  return {
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    numHiddenLayers: config.num_hidden_layers,
    numAttentionHeads: config.num_attention_heads,
    maxPositionEmbeddings: config.max_position_embeddings,
  } satisfies LlamaConfig;
}

/** Loads the pre-trained model, a new one with each call; the caller disposes of it. */
export function loadModel(): tfl.LayersModel {
  const model = createLlama(readConfig());
  setLlamaWeights(
    model,
    parseSafetensors(readFileSync(new URL('model.safetensors', folder))).tensors,
  );
  return model;
}

export function loadTokenizer(): Tokenizer {
  return new Tokenizer(readJson('tokenizer.json') as object, {});
}

/** Writes all four files; the weights as BF16, which halves them. */
export async function savePretrained(
  model: tfl.LayersModel,
  config: ReturnType<typeof readConfig>,
  tokenizer: object,
): Promise<void> {
  mkdirSync(folder, {recursive: true});
  const weights = serializeSafetensors(await getLlamaWeights(model), {dtype: 'BF16'});
  writeFileSync(new URL('model.safetensors', folder), weights);
  writeFileSync(new URL('tokenizer.json', folder), JSON.stringify(tokenizer));
  // Without it answers that are learned would have no end.
  const tokenizerConfig = {bos_token: END_OF_TEXT, eos_token: END_OF_TEXT};
  writeFileSync(
    new URL('tokenizer_config.json', folder),
    `${JSON.stringify(tokenizerConfig, null, 2)}\n`,
  );
  const huggingFaceConfig: HuggingFaceConfig = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
    bos_token_id: 0,
    eos_token_id: 0,
  };
  writeFileSync(new URL('config.json', folder), `${JSON.stringify(huggingFaceConfig, null, 2)}\n`);
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
}

interface HuggingFaceConfig {
  architectures: string[];
  model_type: 'llama';
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  tie_word_embeddings: boolean;
  bos_token_id: number;
  eos_token_id: number;
}
