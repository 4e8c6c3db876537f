import {checkChoice} from '../../common/options';
import {architectureNames, architectureOfType, architectures} from '../architectures';
import {LAYERS, resolveConfig, type LlamaConfig, type ResolvedConfig} from '../config';
import {ConfigKeys} from './config_keys';
import {show, type JsonObject} from '../../files/json';

/** The defaults of transformers for missing keys, unless the architecture has others. */
const defaults: JsonObject = {
  head_dim: null,
  rms_norm_eps: 1e-6,
  initializer_range: 0.02,
  rope_theta: 10000,
  tie_word_embeddings: false,
};

/** Keys that would change the computation of any architecture unless they have one of these values. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  mlp_bias: [false],
  attention_dropout: [0],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  use_mrope: [false],
  quantization_config: [],
  compression_config: [],
};

/**
 * The model that a Hugging Face `config.json` describes, as transformers 4 or 5 writes it. Keys that
 * transformers' models of this type do not read are ignored.
 *
 * @param owner The beginning of messages: which function reads which file.
 * @throws if the model type is unknown, or if a key is missing, out of range, or asks for something that
 *   these models do not compute.
 */
export function readConfigJson(owner: string, json: JsonObject): ResolvedConfig {
  const {model_type: type} = json;
  const types = architectureNames.map((name) => architectures[name].modelType);
  checkChoice(owner, 'model_type', type, types);
  const architecture = architectureOfType(type)!;
  const {className, config: described} = architectures[architecture];
  checkClass(owner, json, className);
  const keys = new ConfigKeys(owner, json, {...defaults, ...described.defaults});
  for (const [key, values] of Object.entries({...neutral, ...described.neutral})) {
    keys.checkNeutral(key, values);
  }
  const rmsNormEps = keys.number('rms_norm_eps', {exclusiveMin: 0});
  const initializerRange = keys.number('initializer_range', {min: 0});
  const tieWordEmbeddings = keys.flag('tie_word_embeddings');
  const numHiddenLayers = keys.number('num_hidden_layers', LAYERS);
  const maxPositionEmbeddings = keys.count('max_position_embeddings');
  const heads = keys.get('num_attention_heads');
  const config: LlamaConfig = {
    architecture,
    vocabSize: keys.count('vocab_size'),
    hiddenSize: keys.count('hidden_size'),
    intermediateSize: keys.count('intermediate_size'),
    numHiddenLayers,
    numAttentionHeads: keys.count('num_attention_heads'),
    numKeyValueHeads: keys.count('num_key_value_heads', keys.get('num_key_value_heads') ?? heads),
    rmsNormEps,
    ...described.rope.read(keys, maxPositionEmbeddings),
    ...described.read(keys, numHiddenLayers),
    maxPositionEmbeddings,
    tieWordEmbeddings,
    initializerRange,
  };
  if (keys.get('head_dim') != null) config.headDim = keys.count('head_dim');
  try {
    return resolveConfig(config);
  } catch (error) {
    throw new Error(`${owner}: ${(error as Error).message}`, {cause: error});
  }
}

/** Throws if the checkpoint is for another kind of model, with another head or none. */
function checkClass(owner: string, {architectures: given}: JsonObject, wanted: string): void {
  const names = given ?? [wanted];
  if (Array.isArray(names) && names.some((name) => isSame(name, wanted))) return;
  throw new Error(
    `${owner}: architectures must name ${wanted}, a model with a head for the next token; ` +
      `got ${show(given)}`,
  );
}

/** Whether two class names are the same; early checkpoints spell LLaMA with other capitals. */
function isSame(name: unknown, wanted: string): boolean {
  return typeof name === 'string' && name.toLowerCase() === wanted.toLowerCase();
}
