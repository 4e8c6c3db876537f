/** Which features of a block the kernels of `kernel_names.ts` compute. */

import {
  OwLoreAttention,
  OwLoreAttentionSublayer,
  OwLoreBlock,
  OwLoreDecodeBlock,
  OwLoreDecodeBlocks,
  OwLoreMlpSublayer,
  OwLoreSwiGLU,
} from './kernel_names';

/** What some architectures compute in their blocks and others do not. */
export type BlockFeature =
  | 'attentionBias'
  | 'slidingWindow'
  /** A norm over each head's queries and keys. */
  | 'queryKeyNorm'
  /** A factor of the products of queries and keys other than 1/√width. */
  | 'queryScale'
  /** Norms of the outputs of attention and MLP, before these are added. */
  | 'outputNorm'
  /** GELU in place of SiLU. */
  | 'gelu';

/** The most blocks of a call of `OwLoreDecodeBlocks`: with more of them hardly any time is saved, and a graph takes longer to make. */
export const MAX_DECODED_TOGETHER = 8;

/**
 * The features that each kernel computes, and its gradient kernel with it. A block with another feature cannot use the kernel,
 * which would ignore that feature.
 */
export const computedFeatures: Readonly<Record<string, readonly BlockFeature[]>> = {
  [OwLoreSwiGLU]: [],
  [OwLoreAttention]: ['attentionBias', 'slidingWindow'],
  [OwLoreAttentionSublayer]: ['attentionBias', 'slidingWindow'],
  [OwLoreMlpSublayer]: [],
  [OwLoreBlock]: ['attentionBias', 'slidingWindow'],
  [OwLoreDecodeBlock]: ['attentionBias'],
  [OwLoreDecodeBlocks]: ['attentionBias'],
};
