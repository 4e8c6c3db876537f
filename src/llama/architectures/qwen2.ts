import {checkNumber} from '../../common/options';
import {oneRope} from '../files/rope_keys';
import type {Architecture, ArchitectureConfig} from './architecture';
import {attentionKernels, bias, inputNorms, mlpKernels} from './weights';

/** The sliding window of Qwen models: in the layers from `max_window_layers` on, and only if `use_sliding_window` says so. */
export const qwenWindow: Pick<ArchitectureConfig, 'defaults' | 'read' | 'write'> = {
  defaults: {use_sliding_window: false, sliding_window: 4096, max_window_layers: 28},

  read(keys, layers) {
    const slidingWindow = keys.flag('use_sliding_window') ? keys.slidingWindow() : null;
    if (slidingWindow === null) {
      keys.checkUniform(layers, null);
      return {slidingWindow};
    }
    const layerTypes = keys.layerTypes(layers);
    if (layerTypes) return {slidingWindow, layerTypes};
    const first = keys.get('max_window_layers');
    checkNumber(keys.owner, 'max_window_layers', first, {integer: true});
    if (first <= 0) return {slidingWindow};
    if (first >= layers) return {slidingWindow: null};
    return {slidingWindow, layerTypes: keys.layerTypesBy(layers, (layer) => layer >= first)};
  },

  write({slidingWindow, layerTypes, numHiddenLayers}) {
    const first = layerTypes?.indexOf('sliding_attention') ?? 0;
    return {
      use_sliding_window: slidingWindow !== null,
      sliding_window: slidingWindow,
      max_window_layers: slidingWindow === null ? numHiddenLayers : first,
      ...(layerTypes && {layer_types: layerTypes}),
    };
  },
};

/** Qwen2 and Qwen2.5 (Yang et al. 2024): a LLaMA with biases in the projections to queries, keys and values. */
export const qwen2: Architecture = {
  modelType: 'qwen2',
  className: 'Qwen2ForCausalLM',
  weights: {
    q: attentionKernels.q,
    qBias: bias('self_attn.q_proj', 'num_attention_heads · head_dim'),
    k: attentionKernels.k,
    kBias: bias('self_attn.k_proj', 'num_key_value_heads · head_dim'),
    v: attentionKernels.v,
    vBias: bias('self_attn.v_proj', 'num_key_value_heads · head_dim'),
    o: attentionKernels.o,
    ...mlpKernels,
    ...inputNorms,
  },
  options: ['slidingWindow', 'layerTypes'],
  config: {
    defaults: {
      num_key_value_heads: 32,
      max_position_embeddings: 32768,
      ...qwenWindow.defaults,
    },
    neutral: {hidden_act: ['silu', 'swish']},
    rope: oneRope,
    read: qwenWindow.read,
    write: (config) => ({hidden_act: 'silu', ...qwenWindow.write(config)}),
  },
  gguf: {},
};
