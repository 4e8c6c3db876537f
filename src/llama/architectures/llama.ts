import {oneRope} from '../files/rope_keys';
import type {Architecture} from './architecture';
import {attentionKernels, inputNorms, mlpKernels} from './weights';

/** LLaMA 2 and 3 (Touvron et al. 2023), and models of the same shape, such as SmolLM2. */
export const llama: Architecture = {
  modelType: 'llama',
  className: 'LlamaForCausalLM',
  weights: {...attentionKernels, ...mlpKernels, ...inputNorms},
  options: [],
  config: {
    defaults: {num_key_value_heads: null, max_position_embeddings: 2048},
    neutral: {hidden_act: ['silu', 'swish'], attention_bias: [false], sliding_window: []},
    rope: oneRope,
    read(keys, layers) {
      keys.checkUniform(layers, null);
      return {};
    },
    write: () => ({hidden_act: 'silu', attention_bias: false, mlp_bias: false}),
  },
  gguf: {interleavesRotary: true, stretchesRotary: true},
};
