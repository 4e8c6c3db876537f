import {oneRope} from '../files/rope_keys';
import type {Architecture} from './architecture';
import {attentionKernels, inputNorms, mlpKernels} from './weights';

/** Mistral 7B (Jiang et al. 2023): a LLaMA with a sliding window in all blocks, or in none. */
export const mistral: Architecture = {
  modelType: 'mistral',
  className: 'MistralForCausalLM',
  weights: {...attentionKernels, ...mlpKernels, ...inputNorms},
  options: ['slidingWindow'],
  config: {
    defaults: {num_key_value_heads: 8, max_position_embeddings: 131072, sliding_window: 4096},
    neutral: {hidden_act: ['silu', 'swish'], attention_bias: [false]},
    rope: oneRope,
    read(keys, layers) {
      const slidingWindow = keys.slidingWindow();
      keys.checkUniform(layers, slidingWindow);
      return {slidingWindow};
    },
    write: ({slidingWindow}) => ({hidden_act: 'silu', sliding_window: slidingWindow}),
  },
  inGgufAs: 'llama',
};
