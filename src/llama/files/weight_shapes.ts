import type {LlamaConfig} from '../config';

/** Names of Hugging Face for the weights that are not in a block. */
export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';
const NORM = 'model.norm.weight';

/** Kernels of a block, in the order in which its layer asks for them. */
const BLOCK_KERNELS = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
] as const;

/** The name that Hugging Face gives to kernel `index` of a layer. */
export function kernelName(layer: string, index: number): string {
  return /^model\.layers\.\d+$/.test(layer)
    ? `${layer}.${BLOCK_KERNELS[index]!}.weight`
    : `${layer}.weight`;
}

/** A weight as Hugging Face names and stores it: kernels `[out, in]`. */
export interface WeightShape {
  name: string;
  shape: number[];
  /** The sizes in words of `config.json`, for messages. */
  meaning: string;
}

/**
 * All weights of a model, in the order in which PyTorch lists them. One by one, for a hostile
 * configuration may ask for more of them than memory holds.
 */
export function* weightShapes(config: Required<LlamaConfig>): Generator<WeightShape> {
  const {vocabSize, hiddenSize, numHiddenLayers, tieWordEmbeddings} = config;
  const table = {shape: [vocabSize, hiddenSize], meaning: 'vocab_size, hidden_size'};
  yield {name: EMBEDDING, ...table};
  for (let i = 0; i < numHiddenLayers; i++) {
    for (const weight of blockShapes(config)) {
      yield {...weight, name: `model.layers.${i}.${weight.name}`};
    }
  }
  yield {name: NORM, shape: [hiddenSize], meaning: 'hidden_size'};
  if (!tieWordEmbeddings) yield {name: HEAD, ...table};
}

function blockShapes(config: Required<LlamaConfig>): WeightShape[] {
  const {hiddenSize: hidden, intermediateSize: inner, attentionBias} = config;
  const queries = config.numAttentionHeads * config.headDim;
  const keys = config.numKeyValueHeads * config.headDim;
  const ofQueries = 'num_attention_heads · head_dim';
  const ofKeys = 'num_key_value_heads · head_dim';
  const sizes: Record<(typeof BLOCK_KERNELS)[number], [number[], string]> = {
    'self_attn.q_proj': [[queries, hidden], `${ofQueries}, hidden_size`],
    'self_attn.k_proj': [[keys, hidden], `${ofKeys}, hidden_size`],
    'self_attn.v_proj': [[keys, hidden], `${ofKeys}, hidden_size`],
    'self_attn.o_proj': [[hidden, queries], `hidden_size, ${ofQueries}`],
    'mlp.gate_proj': [[inner, hidden], 'intermediate_size, hidden_size'],
    'mlp.up_proj': [[inner, hidden], 'intermediate_size, hidden_size'],
    'mlp.down_proj': [[hidden, inner], 'hidden_size, intermediate_size'],
  };
  const shapes: WeightShape[] = [];
  for (const kernel of BLOCK_KERNELS) {
    const [shape, meaning] = sizes[kernel];
    shapes.push({name: `${kernel}.weight`, shape, meaning});
    if (attentionBias && /[qkv]_proj$/.test(kernel)) {
      const width = meaning.split(',')[0]!;
      shapes.push({name: `${kernel}.bias`, shape: [shape[0]!], meaning: width});
    }
  }
  for (const norm of ['input_layernorm', 'post_attention_layernorm']) {
    shapes.push({name: `${norm}.weight`, shape: [hidden], meaning: 'hidden_size'});
  }
  return shapes;
}
