/**
 * The names of the kernels for LLaMA-style models, like those for the optimizer in `kernel_names.ts`.
 * Each does in one pass what the functions of `llama/` otherwise compose of many ops; `runKernel` runs
 * a kernel where the backend has it. All tensors are float32 unless stated otherwise, and no row may be
 * empty. No kernel has a gradient registered: code that differentiates through one calls its Grad kernel.
 */

/** `x / √(mean(x²) + epsilon) · weight` over the last axis: `x` `[…, width]`, `weight` `[width]`. */
export const OwLoreRMSNorm = 'OwLoreRMSNorm';
export interface OwLoreRMSNormAttrs {
  epsilon: number;
}

/** The gradients `[dx, dWeight]` from `dy`, `x`, `weight`; attributes of {@link OwLoreRMSNorm}. */
export const OwLoreRMSNormGrad = 'OwLoreRMSNormGrad';

/** `gate · σ(gate) · up`, elementwise, for `gate` and `up` of one shape. */
export const OwLoreSwiGLU = 'OwLoreSwiGLU';

/** The gradients `[dGate, dUp]` from `dy`, `gate`, `up`; and the value as a third output, if it is asked for. */
export const OwLoreSwiGLUGrad = 'OwLoreSwiGLUGrad';
export interface OwLoreSwiGLUGradAttrs {
  withValue: boolean;
}

/**
 * The scalar `Σ weight · −log softmax(logits)[label]` over rows: `logits` `[rows, vocabulary]`,
 * `labels` `[rows]` int32, `weights` `[rows]`. A row with a negative label is left out; a label that
 * is not below `vocabulary` makes the sum NaN.
 */
export const OwLoreCrossEntropy = 'OwLoreCrossEntropy';

/**
 * Its gradient by the logits, from the same inputs: `weight · (softmax(logits) − 1 at the label)`; 0 in a
 * row with a negative label, NaN in a row with a label that is not below `vocabulary`. The sum of {@link OwLoreCrossEntropy} is a
 * second output, if it is asked for.
 */
export const OwLoreCrossEntropyGrad = 'OwLoreCrossEntropyGrad';
export interface OwLoreCrossEntropyGradAttrs {
  withLoss: boolean;
}

/**
 * Causal self-attention with rotary positions and the projections before it: `x` `[batch · length, hidden]`, the kernels `q`
 * `[hidden, heads · width]` and `k` and `v` `[hidden, keyHeads · width]`. Queries and keys are rotated by angles with the cosines
 * `cos` and the sines `sin` `[length, width / 2]`; the first half of each head pairs with the second. The value of a head is
 * `softmax(q kᵀ / √width) v`, where each position sees itself and earlier ones; each key head serves `heads / keyHeads`
 * consecutive query heads.
 *
 * Biases `qBias` `[heads · width]`, `kBias` and `vBias` `[keyHeads · width]`, all three or none, are added to the projections.
 *
 * Four outputs: the value `[batch · length, heads · width]` and, only for the gradient kernel, queries, keys and values, rotated
 * or not and in any layout.
 */
export const OwLoreAttention = 'OwLoreAttention';
export interface OwLoreAttentionAttrs {
  heads: number;
  keyHeads: number;
  /** How many keys a query sees at most: that of its own position and those just before. Default: all earlier ones. */
  window?: number;
}

/**
 * The gradients `[dx, dq, dk, dv]` and, if there are biases, `[dqBias, dkBias, dvBias]`; only `dx` if no others are asked for.
 * Takes the same inputs, the results of OwLoreAttention as `y`, `queries`, `keys` and `values`, and `dy`.
 */
export const OwLoreAttentionGrad = 'OwLoreAttentionGrad';
export interface OwLoreAttentionGradAttrs extends OwLoreAttentionAttrs {
  /** Whether the gradients of the kernels, and of the biases, are asked for. */
  withKernelGradients: boolean;
}

/*
 * The kernels of a block and its halves, and their gradient kernels, add low-rank products to those with their matrices: with inputs
 * `qA` `[hidden, rank]` and `qB` `[rank, heads · width]`, and the number `qScale` among the attributes, a product `x q` becomes
 * `x q + qScale · (x qA) qB`; likewise for `k`, `v`, `o`, `gate`, `up`, `down`, each alone or with others. Ranks may differ. The
 * gradients of the weights that are asked for are then those of such inputs alone: `[dqA, dqB]`, …, in the order of the matrices.
 */

/**
 * The first half of a block: `x + attention(RMSNorm(x)) · o`, with {@link OwLoreAttention} and {@link OwLoreRMSNorm}, for `x`
 * `[…, hidden]`, a position in each row. Inputs are those of OwLoreAttention, RMSNorm's weight as `norm` `[hidden]`, and the
 * kernel `o` `[heads · width, hidden]`.
 *
 * Six outputs: the value and, only for the gradient kernel, `1 / √(mean(x²) + epsilon)` of each row `[rows, 1]`, and the value,
 * queries, keys and values of OwLoreAttention.
 */
export const OwLoreAttentionSublayer = 'OwLoreAttentionSublayer';
export interface OwLoreAttentionSublayerAttrs extends OwLoreAttentionAttrs, OwLoreRMSNormAttrs {}

/**
 * The gradients `[dx, dNorm, dq, dk, dv, do]` and, if there are biases, `[dqBias, dkBias, dvBias]`; only `dx` if no others are
 * asked for. Takes the same inputs, the further results as `scale`, `mixed`, `queries`, `keys` and `values`, and `dy`.
 */
export const OwLoreAttentionSublayerGrad = 'OwLoreAttentionSublayerGrad';
export interface OwLoreAttentionSublayerGradAttrs extends OwLoreAttentionSublayerAttrs {
  /** Whether the gradients of the weights are asked for. */
  withWeightGradients: boolean;
}

/**
 * The second half of a block: `x` `[…, hidden]` plus `(silu(h · gate) · (h · up)) · down` with `h` the {@link OwLoreRMSNorm} of
 * `x` with the weight `norm` `[hidden]`; kernels `gate` and `up` `[hidden, intermediate]`, `down` `[intermediate, hidden]`.
 *
 * Four outputs: the value and, only for the gradient kernel, `1 / √(mean(x²) + epsilon)` of each row `[rows, 1]`, `h · gate` and
 * `h · up`.
 */
export const OwLoreMlpSublayer = 'OwLoreMlpSublayer';
export interface OwLoreMlpSublayerAttrs extends OwLoreRMSNormAttrs {
  /** Whether only the further outputs are asked for; the value is then any tensor of its shape. */
  withoutValue: boolean;
}

/**
 * The gradients `[dx, dNorm, dGate, dUp, dDown]`; only `dx` if no others are asked for. Takes the same inputs, the further
 * results as `scale`, `gated` and `upped`, and `dy`.
 */
export const OwLoreMlpSublayerGrad = 'OwLoreMlpSublayerGrad';
export interface OwLoreMlpSublayerGradAttrs extends OwLoreRMSNormAttrs {
  /** Whether the gradients of the weights are asked for. */
  withWeightGradients: boolean;
}

/**
 * A block, {@link OwLoreMlpSublayer} of {@link OwLoreAttentionSublayer}. Takes the inputs of both; RMSNorm's weight of the second
 * half is called `mlpNorm`, and the value of the first half may be given as `attended`.
 *
 * Outputs: the value and, only for the gradient kernel, the value of the first half (`attended`), the further outputs of the
 * second half, then those of the first half, and with `keepsWeights` attention's weights in any number of tensors. If `attended` is
 * given, it is not an output, nor are `mixed` and attention's weights, which are not computed.
 */
export const OwLoreBlock = 'OwLoreBlock';
export interface OwLoreBlockAttrs extends OwLoreAttentionSublayerAttrs, OwLoreMlpSublayerAttrs {
  /** Whether the softmaxes of attention are returned, so that the gradient kernel need not compute them again. */
  keepsWeights: boolean;
}

/**
 * The gradients of {@link OwLoreAttentionSublayerGrad}, then those of {@link OwLoreMlpSublayerGrad} without its `dx`; only `dx`
 * if no others are asked for. Takes the same inputs, the results (the second half's `scale` as `mlpScale`, attention's weights as
 * `weights0`, `weights1`, …) and `dy`. `mixed` may be missing where the gradients of the weights are not asked for.
 */
export const OwLoreBlockGrad = 'OwLoreBlockGrad';
export interface OwLoreBlockGradAttrs
  extends Pick<OwLoreBlockAttrs, 'keepsWeights'>, OwLoreAttentionSublayerGradAttrs {}

/**
 * {@link OwLoreBlock} for the next position of each row, `x` `[…, hidden]`, which also sees the positions before it. Takes the weights
 * of OwLoreBlock; `cos` and `sin` are `[1, width / 2]`, or `[rows, width / 2]` if the rows are at different positions.
 *
 * The rotated keys and the values of the positions before come in two parts, so that not all of them are copied to append one:
 * `keys` and `values` `[rows, keyHeads, positions, width]`, and after them `recentKeys` and `recentValues` `[rows, keyHeads, recent,
 * width]`; either may have no positions. `padding` `[rows]` int32, if it is given: how many of the first `positions` each row does
 * not see.
 *
 * On wasm each matrix may also be packed as `OwLoreUnpackBfloat16` takes it. The result is the same to the last bit, for up to eight
 * rows.
 *
 * Three outputs: the value, and `recentKeys` and `recentValues` with the new position at their end.
 */
export const OwLoreDecodeBlock = 'OwLoreDecodeBlock';
export interface OwLoreDecodeBlockAttrs extends OwLoreRMSNormAttrs {
  heads: number;
  keyHeads: number;
  intermediate: number;
}

/**
 * {@link OwLoreDecodeBlock} of several blocks, one after the other, so that a token takes few calls. Takes `x` of the first one, `cos`,
 * `sin` and `padding` of all, and the other inputs of each with its number (`norm0`, `q0`, …, `keys0`, `norm1`, …), of the same
 * shapes in all.
 *
 * Outputs: the value of the last block, then `recentKeys` and `recentValues` of each with the new position at their end.
 */
export const OwLoreDecodeBlocks = 'OwLoreDecodeBlocks';
export interface OwLoreDecodeBlocksAttrs extends OwLoreDecodeBlockAttrs {
  /** At most `MAX_DECODED_TOGETHER`. */
  blocks: number;
}

/**
 * The product of `x` `[rows, in]` with a matrix that is packed as `OwLoreUnpackBfloat16` takes it, `[in, out]` or, if it is
 * transposed, `[out, in]`: `[rows, out]`. Made for few rows; for up to eight the result is that of the matrix as float32 to the last
 * bit. A backend that has this kernel has an {@link OwLoreDecodeBlock} that takes packed matrices.
 */
export const OwLorePackedMatMul = 'OwLorePackedMatMul';
export interface OwLorePackedMatMulAttrs {
  /** Of the matrix. */
  shape: [rows: number, columns: number];
  transposed: boolean;
}

/**
 * A part of a matrix [rows, columns] that is packed row by row as `OwLoreUnpackBfloat16` takes it, as float32, without the
 * rest: `shape[0]` rows and `shape[1]` columns from the entry `begin` on.
 */
export const OwLoreUnpackWindow = 'OwLoreUnpackWindow';
export interface OwLoreUnpackWindowAttrs {
  columns: number;
  begin: [row: number, column: number];
  shape: [rows: number, columns: number];
}

/**
 * Rows of such a matrix as float32: for `ids`, int32 of any shape, […, columns]. A backend that can be read within a step throws if
 * an id is not that of a row.
 */
export const OwLoreUnpackRows = 'OwLoreUnpackRows';
export interface OwLoreUnpackRowsAttrs {
  columns: number;
}
