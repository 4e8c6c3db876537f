/**
 * Kernels of LLaMA-style models beyond tfjs's own, as `kernel_names.ts` has the optimizer's. Each
 * does in one pass what the functions of `llama/` else compose of many; `runKernel` runs one where
 * the backend has it. All tensors are float32 unless it says otherwise, no row may be empty, and no
 * kernel has a gradient registered: what differentiates through one calls the other of the pair.
 */

/** `x / √(mean(x²) + epsilon) · weight` over the last axis: `x` `[…, width]`, `weight` `[width]`. */
export const OwLoreRMSNorm = 'OwLoreRMSNorm';
export interface OwLoreRMSNormAttrs {
  epsilon: number;
}

/** From `dy`, `x`, `weight` the gradients `[dx, dWeight]`; attributes of {@link OwLoreRMSNorm}. */
export const OwLoreRMSNormGrad = 'OwLoreRMSNormGrad';

/** `gate · σ(gate) · up`, elementwise, for `gate` and `up` of one shape. */
export const OwLoreSwiGLU = 'OwLoreSwiGLU';

/** From `dy`, `gate`, `up` the gradients `[dGate, dUp]`, and as a third output the value, if it is asked for. */
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
 * From the same inputs its gradient by the logits, `weight · (softmax(logits) − 1 at the label)`: 0
 * in a row with a negative label, NaN in one whose label is not below `vocabulary`.
 */
export const OwLoreCrossEntropyGrad = 'OwLoreCrossEntropyGrad';

/**
 * Causal self-attention with rotary positions and the projections before it: `x` `[batch · length, hidden]`, the kernels `q`
 * `[hidden, heads · width]` and `k` and `v` `[hidden, keyHeads · width]`. Queries and keys are turned by the angles with cosines
 * `cos` and sines `sin` `[length, width / 2]`, the first half of each head against the second. A head's value is
 * `softmax(q kᵀ / √width) v`, each position with itself and the earlier ones; each key head serves `heads / keyHeads` query heads
 * in a row.
 *
 * Biases `qBias` `[heads · width]`, `kBias` and `vBias` `[keyHeads · width]`, all three or none, are added to the projections.
 *
 * Four outputs: the value `[batch · length, heads · width]` and, for the gradient alone, queries, keys and values, turned or not
 * and in whatever layout.
 */
export const OwLoreAttention = 'OwLoreAttention';
export interface OwLoreAttentionAttrs {
  heads: number;
  keyHeads: number;
  /** How many keys a query sees at most, its own position's and those just before; without it all. */
  window?: number;
}

/**
 * From the same inputs, its results `y`, `queries`, `keys` and `values`, and `dy` the gradients `[dx, dq, dk, dv]` and, if there
 * are biases, `[dqBias, dkBias, dvBias]`; `dx` alone if no others are asked for.
 */
export const OwLoreAttentionGrad = 'OwLoreAttentionGrad';
export interface OwLoreAttentionGradAttrs extends OwLoreAttentionAttrs {
  /** Whether the gradients of the kernels, and of the biases, are asked for. */
  ofKernels: boolean;
}

/**
 * The first half of a block: `x` `[…, hidden]`, a position in each row, plus the product of {@link OwLoreAttention} of {@link OwLoreRMSNorm} of
 * `x` with the kernel `o` `[heads · width, hidden]`. Inputs are those of OwLoreAttention, `norm` `[hidden]`, which is RMSNorm's
 * weight, and `o`.
 *
 * Six outputs: the value, and for the gradient alone `1 / √(mean(x²) + epsilon)` of each row `[rows, 1]`, and the value, queries,
 * keys and values of OwLoreAttention.
 */
export const OwLoreAttentionSublayer = 'OwLoreAttentionSublayer';
export interface OwLoreAttentionSublayerAttrs extends OwLoreAttentionAttrs, OwLoreRMSNormAttrs {}

/**
 * From the same inputs, its results `scale`, `mixed`, `queries`, `keys` and `values`, and `dy` the gradients `[dx, dNorm, dq, dk,
 * dv, do]` and, if there are biases, `[dqBias, dkBias, dvBias]`; `dx` alone if no others are asked for.
 */
export const OwLoreAttentionSublayerGrad = 'OwLoreAttentionSublayerGrad';
export interface OwLoreAttentionSublayerGradAttrs extends OwLoreAttentionSublayerAttrs {
  /** Whether the gradients of the weights are asked for. */
  ofWeights: boolean;
}

/**
 * The second half of a block: `x` `[…, hidden]` plus `(silu(h · gate) · (h · up)) · down` with `h` the {@link OwLoreRMSNorm} of
 * `x` with the weight `norm` `[hidden]`; kernels `gate` and `up` `[hidden, intermediate]`, `down` `[intermediate, hidden]`.
 *
 * Four outputs: the value, and for the gradient alone `1 / √(mean(x²) + epsilon)` of each row `[rows, 1]`, `h · gate` and `h · up`.
 */
export const OwLoreMlpSublayer = 'OwLoreMlpSublayer';

/**
 * From the same inputs, its results `scale`, `gated` and `upped`, and `dy` the gradients `[dx, dNorm, dGate, dUp, dDown]`; `dx` alone if no
 * others are asked for.
 */
export const OwLoreMlpSublayerGrad = 'OwLoreMlpSublayerGrad';
export interface OwLoreMlpSublayerGradAttrs extends OwLoreRMSNormAttrs {
  /** Whether the gradients of the weights are asked for. */
  ofWeights: boolean;
}

/**
 * A block, {@link OwLoreMlpSublayer} of {@link OwLoreAttentionSublayer}: their inputs, RMSNorm's weight of the second half as
 * `mlpNorm`.
 *
 * The value, and for the gradient alone that of the first half, `attended`, what else the two put out, the second half's first, and
 * if attention's weights are to be kept, these in as many tensors as the kernel likes.
 */
export const OwLoreBlock = 'OwLoreBlock';
export interface OwLoreBlockAttrs extends OwLoreAttentionSublayerAttrs {
  /** Whether the softmaxes of attention are put out, for the gradient not to make them again. */
  keepsWeights: boolean;
}

/**
 * From the same inputs, its results (the second half's `scale` as `mlpScale`, attention's weights as `weights0`, `weights1`, …) and
 * `dy` the gradients of {@link OwLoreAttentionSublayerGrad} and, without its `dx`, {@link OwLoreMlpSublayerGrad}; `dx` alone if no
 * others are asked for.
 */
export const OwLoreBlockGrad = 'OwLoreBlockGrad';
export interface OwLoreBlockGradAttrs extends OwLoreBlockAttrs, OwLoreAttentionSublayerGradAttrs {}
