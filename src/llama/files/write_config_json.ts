import {architectures} from '../architectures';
import type {LlamaConfig, ResolvedConfig} from '../config';
import {readConfigJson} from './config_json';
import type {FloatType} from '../../files/float_type';
import {jsonText, show, type JsonObject} from '../../files/json';

const torchNames: Readonly<Record<FloatType, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/**
 * The `config.json` of a model, for both transformers 4 and 5: a key that they name differently is written
 * under both names.
 *
 * @param kept The `config.json` that the model was loaded with; its other keys stay.
 * @param more Keys that replace all others.
 * @throws if `more` describes another model.
 */
export function configJsonOf(
  owner: string,
  config: ResolvedConfig,
  dtype: FloatType,
  kept: JsonObject | undefined,
  more: JsonObject,
): JsonObject {
  const base = kept ?? describe(config);
  const json = {
    ...base,
    tie_word_embeddings: config.tieWordEmbeddings,
    dtype: torchNames[dtype],
    torch_dtype: torchNames[dtype],
    ...ropeKeys(config, base),
    ...more,
  };
  const read = readConfigJson(`${owner}: config.json`, json);
  for (const key of Object.keys(read) as Array<keyof LlamaConfig>) {
    if (key === 'headInLoss' || key === 'initializerRange' || key === 'seed') continue;
    if (JSON.stringify(read[key]) === JSON.stringify(config[key])) continue;
    throw new Error(
      `${owner}: config.json would say ${key} ${show(read[key])} of a model that has ` +
        `${show(config[key])}; leave what describes the model out of configJson`,
    );
  }
  return json;
}

/** Keys whose values Python must read as floats: transformers 5 refuses an integer, 4 warns of it. */
const FLOATS =
  /^(\s*"(?:attention_dropout|initializer_range|rms_norm_eps|rope_theta|rope_local_base_freq|\w*factor)": -?\d+)(?=,?$)/gm;

/** The text of a `config.json`, names in their order. */
export function configJsonText(json: JsonObject): string {
  const sorted = Object.fromEntries(Object.entries(json).sort(([a], [b]) => (a < b ? -1 : 1)));
  return jsonText(sorted).replace(FLOATS, '$1.0');
}

/** The keys of a model that was not loaded. */
function describe(config: ResolvedConfig): JsonObject {
  const {modelType, className, config: described} = architectures[config.architecture];
  return {
    architectures: [className],
    model_type: modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.maxPositionEmbeddings,
    initializer_range: config.initializerRange,
    rms_norm_eps: config.rmsNormEps,
    attention_dropout: 0,
    use_cache: true,
    ...described.write(config),
  };
}

/** The keys of the rotary embedding; if `base` describes it, its own keys stay. */
function ropeKeys(config: ResolvedConfig, base: JsonObject): JsonObject {
  const written = architectures[config.architecture].config.rope.write(config);
  const entries = Object.entries(written).map(([key, value]) => [key, base[key] ?? value]);
  return Object.fromEntries(entries) as JsonObject;
}
