/** Estimates of memory that must be the same in a page and in Node. */
import * as tfl from '@tensorflow/tfjs-layers';
import {describedBackends} from '../../src/kernels/kernel_outputs';
import {estimateMemory, type MemoryEstimate} from '../../src/memory/estimate/index';
import {paperMethodNames} from '../../src/methods';

/** By what they are of: a config of a LLaMA-style model and a model of tfjs's layers, on each backend, with each method. */
export function estimates(): Record<string, MemoryEstimate> {
  const config = {
    ...{model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: 32_000},
    ...{hidden_size: 64, intermediate_size: 172, num_hidden_layers: 6},
    ...{num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256},
  };
  const dense = Array.from({length: 4}, (_, i) =>
    tfl.layers.dense({units: 32, inputShape: [32], activation: 'relu', name: `dense${i}`}),
  );
  const model = tfl.sequential({layers: [...dense, tfl.layers.layerNormalization()]});
  const lora = {method: 'lora', targets: ['dense0', 'dense1']} as const;
  const found: Record<string, MemoryEstimate> = {};
  for (const backend of describedBackends) {
    for (const method of paperMethodNames) {
      const options = {backend, method, rank: 8, batchSize: 4};
      found[`LLaMA, ${method}, ${backend}`] = estimateMemory(config, options);
      const given = method === 'lora' ? {...options, ...lora} : options;
      found[`Sequential, ${method}, ${backend}`] = estimateMemory(model, {...given, maxLength: 8});
    }
  }
  model.dispose();
  return found;
}
