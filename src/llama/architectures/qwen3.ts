import {oneRope} from '../files/rope_keys';
import type {Architecture} from './architecture';
import {qwenWindow} from './qwen2';
import {attentionKernels, inputNorms, mlpKernels, queryKeyNorms} from './weights';

/** Qwen3 (Yang et al. 2025): a LLaMA that normalizes queries and keys, head by head, before it rotates them. */
export const qwen3: Architecture = {
  modelType: 'qwen3',
  className: 'Qwen3ForCausalLM',
  weights: {...attentionKernels, ...queryKeyNorms, ...mlpKernels, ...inputNorms},
  options: ['slidingWindow', 'layerTypes'],
  config: {
    defaults: {
      num_key_value_heads: 32,
      head_dim: 128,
      max_position_embeddings: 32768,
      ...qwenWindow.defaults,
    },
    neutral: {hidden_act: ['silu', 'swish'], attention_bias: [false]},
    rope: oneRope,
    read: qwenWindow.read,
    write: (config) => ({hidden_act: 'silu', attention_bias: false, ...qwenWindow.write(config)}),
  },
  gguf: {},
};
