import type {LlamaConfig} from '../config';
import {architectures, readConfigJson, type ModelType} from './config_json';
import type {FloatType} from './float_type';
import {jsonText, show, type JsonObject} from './json';

const torchNames: Readonly<Record<FloatType, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/**
 * The `config.json` of a model, for transformers 4 and 5 alike: what they name differently stands
 * there under both names.
 *
 * @param kept The one that the model was loaded with; its other keys stay.
 * @param more Keys that go over all others.
 * @throws if `more` describes another model.
 */
export function configJsonOf(
  owner: string,
  config: Required<LlamaConfig>,
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
    ...bothRopes(config, base),
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
  /^(\s*"(?:attention_dropout|initializer_range|rms_norm_eps|rope_theta|\w*factor)": -?\d+)(?=,?$)/gm;

/** The text of a `config.json`, names in their order. */
export function configJsonText(json: JsonObject): string {
  const sorted = Object.fromEntries(Object.entries(json).sort(([a], [b]) => (a < b ? -1 : 1)));
  return jsonText(sorted).replace(FLOATS, '$1.0');
}

/** The keys of a model that was not loaded. */
function describe(config: Required<LlamaConfig>): JsonObject {
  const type = modelTypeOf(config);
  return {
    architectures: [architectures[type]],
    model_type: type,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    hidden_act: 'silu',
    max_position_embeddings: config.maxPositionEmbeddings,
    initializer_range: config.initializerRange,
    rms_norm_eps: config.rmsNormEps,
    attention_dropout: 0,
    use_cache: true,
    ...(type === 'llama' && {attention_bias: false, mlp_bias: false}),
    ...(type === 'mistral' && {sliding_window: config.slidingWindow}),
    ...(type === 'qwen2' && {
      use_sliding_window: config.slidingWindow !== null,
      sliding_window: config.slidingWindow,
      // the first layer that has the window
      max_window_layers: config.slidingWindow === null ? config.numHiddenLayers : 0,
    }),
  };
}

function modelTypeOf({attentionBias, slidingWindow}: Required<LlamaConfig>): ModelType {
  if (attentionBias) return 'qwen2';
  return slidingWindow === null ? 'llama' : 'mistral';
}

/** The keys of the rotary embedding that are not in `base` yet. */
function bothRopes({ropeTheta, ropeScaling}: Required<LlamaConfig>, base: JsonObject): JsonObject {
  const scaling = ropeScaling && {
    rope_type: 'llama3',
    factor: ropeScaling.factor,
    low_freq_factor: ropeScaling.lowFreqFactor,
    high_freq_factor: ropeScaling.highFreqFactor,
    original_max_position_embeddings: ropeScaling.originalMaxPositionEmbeddings,
  };
  return {
    rope_theta: ropeTheta,
    rope_scaling: base['rope_scaling'] ?? scaling,
    rope_parameters: base['rope_parameters'] ?? {
      rope_theta: ropeTheta,
      ...(scaling ?? {rope_type: 'default'}),
    },
  };
}
