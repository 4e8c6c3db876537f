/** The weights of a model, as Hugging Face names and stores them; architectures build their tables from these. */

import type {ResolvedModelOptions} from './model_options';

/** A size of a weight, in the words of `config.json`. */
export type Size =
  | 'vocab_size'
  | 'hidden_size'
  | 'intermediate_size'
  | 'num_attention_heads · head_dim'
  | 'num_key_value_heads · head_dim'
  | 'head_dim';

export interface Weight {
  /** The name; for a weight of a block, the part after `model.layers.0.`. */
  name: string;
  /** A kernel, of a linear map, is stored as `[out, in]` and is `[in, out]` in a model; the others are the same in both. */
  kind: 'embedding' | 'kernel' | 'bias' | 'norm';
  /** The shape in which it is stored. */
  shape: readonly Size[];
}

/** The role of a weight in its block; the kernels of `kernels/llama/kernel_names.ts` use the same names. */
export type BlockRole = RequiredRole | OptionalRole;
type RequiredRole = 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down' | 'norm' | 'mlpNorm';
type OptionalRole =
  'qBias' | 'kBias' | 'vBias' | 'qNorm' | 'kNorm' | 'outputNorm' | 'mlpOutputNorm';

/** The weights of a block, in the order in which PyTorch lists them. */
export type BlockWeightTable = Readonly<
  Record<RequiredRole, Weight> & Partial<Record<OptionalRole, Weight>>
>;

/** A value for each weight that a block has. */
export type ByRole<T> = Record<RequiredRole, T> & Partial<Record<OptionalRole, T>>;

export function kernel(name: string, out: Size, input: Size): Weight {
  return {name: `${name}.weight`, kind: 'kernel', shape: [out, input]};
}

export function bias(name: string, out: Size): Weight {
  return {name: `${name}.bias`, kind: 'bias', shape: [out]};
}

export function norm(name: string, width: Size = 'hidden_size'): Weight {
  return {name: `${name}.weight`, kind: 'norm', shape: [width]};
}

const queries = 'num_attention_heads · head_dim';
const keys = 'num_key_value_heads · head_dim';

/** The kernels of attention, in all architectures. */
export const attentionKernels = {
  q: kernel('self_attn.q_proj', queries, 'hidden_size'),
  k: kernel('self_attn.k_proj', keys, 'hidden_size'),
  v: kernel('self_attn.v_proj', keys, 'hidden_size'),
  o: kernel('self_attn.o_proj', 'hidden_size', queries),
};

/** The norms of queries and keys, head by head, for architectures that have them. */
export const queryKeyNorms = {
  qNorm: norm('self_attn.q_norm', 'head_dim'),
  kNorm: norm('self_attn.k_norm', 'head_dim'),
};

/** The kernels of the MLP, in all architectures. */
export const mlpKernels = {
  gate: kernel('mlp.gate_proj', 'intermediate_size', 'hidden_size'),
  up: kernel('mlp.up_proj', 'intermediate_size', 'hidden_size'),
  down: kernel('mlp.down_proj', 'hidden_size', 'intermediate_size'),
};

/** The norms of the inputs of attention and MLP. */
export const inputNorms = {
  norm: norm('input_layernorm'),
  mlpNorm: norm('post_attention_layernorm'),
};

/** The weights outside the blocks; there is no head if the embedding serves as the head. */
export const embedding: Weight = {
  name: 'model.embed_tokens.weight',
  kind: 'embedding',
  shape: ['vocab_size', 'hidden_size'],
};
export const finalNorm = norm('model.norm');
export const head = kernel('lm_head', 'vocab_size', 'hidden_size');

/** The sizes of a model's weights, or of a block's weights, which do not need the vocabulary. */
export function sizesOf(
  config: Pick<
    ResolvedModelOptions,
    'hiddenSize' | 'intermediateSize' | 'numAttentionHeads' | 'numKeyValueHeads' | 'headDim'
  > &
    Partial<Pick<ResolvedModelOptions, 'vocabSize'>>,
): Readonly<Record<Size, number>> {
  const {headDim} = config;
  return {
    vocab_size: config.vocabSize ?? NaN,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    [queries]: config.numAttentionHeads * headDim,
    [keys]: config.numKeyValueHeads * headDim,
    head_dim: headDim,
  };
}

/** The shape in which a weight is stored. */
export function storedShape({shape}: Weight, sizes: Readonly<Record<Size, number>>): number[] {
  return shape.map((size) => sizes[size]);
}

/** The shape that a weight has in a model. */
export function modelShape(weight: Weight, sizes: Readonly<Record<Size, number>>): number[] {
  const stored = storedShape(weight, sizes);
  return isTransposed(weight) ? stored.reverse() : stored;
}

/** Whether a weight is transposed between file and model. */
export function isTransposed({kind}: Weight): boolean {
  return kind === 'kernel';
}
