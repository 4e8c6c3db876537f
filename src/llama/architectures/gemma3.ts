import type {LayerType} from './model_options';
import {isObject, show} from '../../files/json';
import {readAgreeing, readRope, ropeJson, scalingJson, type RopeKeys} from '../files/rope_keys';
import type {Architecture} from './architecture';
import {attentionKernels, mlpKernels, norm, queryKeyNorms} from './weights';

/**
 * Two rotary embeddings, one for the blocks that see all positions and one for those with the window: the entries of
 * `rope_parameters`, or in transformers 4 `rope_theta` with `rope_scaling`, and `rope_local_base_freq`.
 */
const twoRopes: RopeKeys = {
  read(keys, positions) {
    const parameters = keys.given('rope_parameters') ?? {};
    if (!isObject(parameters)) {
      throw new Error(`${keys.owner}: rope_parameters must be an object; got ${show(parameters)}`);
    }
    const {full_attention: full, sliding_attention: sliding, ...others} = parameters;
    for (const [name, value] of Object.entries(others)) {
      const what = 'the entries are full_attention and sliding_attention';
      throw keys.unsupported(`rope_parameters.${name}`, value, what);
    }
    const slidingKey = 'rope_parameters.sliding_attention';
    const local = readRope(keys, slidingKey, sliding ?? {}, positions, 'rope_local_base_freq');
    if (local.ropeScaling) {
      throw keys.unsupported(slidingKey, sliding, 'its rope_type must be "default"');
    }
    const described = {
      'rope_parameters.full_attention': full,
      rope_scaling: keys.given('rope_scaling'),
    };
    return {...readAgreeing(keys, described, positions), ropeLocalBaseFreq: local.ropeTheta};
  },

  write({ropeTheta, ropeScaling, ropeLocalBaseFreq}) {
    return {
      rope_theta: ropeTheta,
      rope_scaling: scalingJson(ropeScaling),
      rope_local_base_freq: ropeLocalBaseFreq,
      rope_parameters: {
        full_attention: ropeJson(ropeTheta, ropeScaling),
        sliding_attention: ropeJson(ropeLocalBaseFreq, null),
      },
    };
  },
};

/** The default of transformers. */
const SLIDING_WINDOW = 4096;

/** The text models of Gemma 3 (Gemma Team 2025): 270M and 1B. */
export const gemma3: Architecture = {
  modelType: 'gemma3_text',
  className: 'Gemma3ForCausalLM',
  weights: {
    ...attentionKernels,
    ...queryKeyNorms,
    ...mlpKernels,
    norm: norm('input_layernorm'),
    outputNorm: norm('post_attention_layernorm'),
    mlpNorm: norm('pre_feedforward_layernorm'),
    mlpOutputNorm: norm('post_feedforward_layernorm'),
  },
  activation: 'gelu',
  unitOffset: true,
  scaledEmbedding: true,
  options: ['slidingWindow', 'layerTypes', 'ropeLocalBaseFreq', 'queryPreAttnScalar'],
  config: {
    defaults: {
      num_key_value_heads: 4,
      head_dim: 256,
      max_position_embeddings: 131072,
      sliding_window: SLIDING_WINDOW,
      sliding_window_pattern: 6,
      query_pre_attn_scalar: 256,
      rope_theta: 1_000_000,
      rope_local_base_freq: 10_000,
      tie_word_embeddings: true,
    },
    neutral: {
      hidden_activation: ['gelu_pytorch_tanh'],
      attention_bias: [false],
      attn_logit_softcapping: [],
      final_logit_softcapping: [],
      use_bidirectional_attention: [false],
    },
    rope: twoRopes,
    read(keys, layers) {
      const pattern = keys.count('sliding_window_pattern');
      return {
        slidingWindow: keys.slidingWindow(),
        layerTypes:
          keys.layerTypes(layers) ??
          keys.layerTypesBy(layers, (layer) => (layer + 1) % pattern !== 0),
        queryPreAttnScalar: keys.number('query_pre_attn_scalar', {exclusiveMin: 0}),
      };
    },
    write({slidingWindow, layerTypes, numHiddenLayers, queryPreAttnScalar}) {
      const uniform: LayerType = slidingWindow === null ? 'full_attention' : 'sliding_attention';
      const types = layerTypes ?? Array.from({length: numHiddenLayers}, () => uniform);
      return {
        hidden_activation: 'gelu_pytorch_tanh',
        attention_bias: false,
        attn_logit_softcapping: null,
        final_logit_softcapping: null,
        query_pre_attn_scalar: queryPreAttnScalar,
        // transformers wants one even if no layer uses it
        sliding_window: slidingWindow ?? SLIDING_WINDOW,
        layer_types: types,
        ...patternOf(types),
      };
    },
  },
  gguf: {slidingWindowPattern: 6, ropeLocalBaseFreq: 10_000, ranksMergesById: true},
};

/** The key in place of `layer_types` in transformers before 4.53, where it fits: every n-th layer sees all positions. */
function patternOf(types: readonly LayerType[]): {sliding_window_pattern?: number} {
  const pattern = [...types, 'full_attention'].indexOf('full_attention') + 1;
  const isPattern = types.every(
    (type, i) => (type === 'full_attention') === ((i + 1) % pattern === 0),
  );
  return isPattern ? {sliding_window_pattern: pattern} : {};
}
