/** What the kernels of `llama_kernel_names.ts` compute of a block, and what not. */

import {
  OwLoreAttention,
  OwLoreAttentionSublayer,
  OwLoreBlock,
  OwLoreMlpSublayer,
  OwLoreSwiGLU,
} from './llama_kernel_names';

/** What an architecture may compute in its blocks beyond what all do. */
export type BlockFeature =
  | 'attentionBias'
  | 'slidingWindow'
  /** Norms of each head's queries and keys. */
  | 'queryKeyNorm'
  /** Another factor of the products of queries and keys than 1/√width. */
  | 'queryScale'
  /** Norms of what attention and MLP add. */
  | 'outputNorm'
  /** GELU in the place of SiLU. */
  | 'gelu';

/**
 * The features that each kernel of a block's parts computes, and the kernel of its gradients with it. A block that has another one must
 * do without the kernel, which would pass over it.
 */
export const computedFeatures: Readonly<Record<string, readonly BlockFeature[]>> = {
  [OwLoreSwiGLU]: [],
  [OwLoreAttention]: ['attentionBias', 'slidingWindow'],
  [OwLoreAttentionSublayer]: ['attentionBias', 'slidingWindow'],
  [OwLoreMlpSublayer]: [],
  [OwLoreBlock]: ['attentionBias', 'slidingWindow'],
};
