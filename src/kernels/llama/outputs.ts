/** What the kernels of LLaMA-style models put out on each backend; `kernel_names` says what it means. */
import * as tf from '@tensorflow/tfjs-core';
import {
  describedBackends,
  like,
  likeAll,
  made,
  type DescribedBackend,
  type DescribedKernel,
  type KernelInputs,
  type KernelOutput,
} from '../kernel_outputs';
import * as llama from './kernel_names';

const onBoth = ['wasm', 'tensorflow'] as const;

export const llamaOutputs: Readonly<Record<string, DescribedKernel>> = {
  [llama.OwLoreRMSNorm]: {on: onBoth, outputs: ({x}) => like(x!)},
  [llama.OwLoreRMSNormGrad]: {on: onBoth, outputs: (inputs) => likeAll(inputs, ['x', 'weight'])},
  [llama.OwLoreSwiGLU]: {on: onBoth, outputs: ({gate}) => like(gate!)},
  [llama.OwLoreSwiGLUGrad]: {
    on: onBoth,
    outputs: ({gate}, {withValue}: llama.OwLoreSwiGLUGradAttrs) =>
      [gate!, gate!, ...(withValue ? [gate!] : [])].map(like),
  },
  [llama.OwLoreCrossEntropy]: {on: onBoth, outputs: () => made([])},
  [llama.OwLoreCrossEntropyGrad]: {
    on: onBoth,
    outputs: ({logits}, {withLoss}: llama.OwLoreCrossEntropyGradAttrs) => [
      like(logits!),
      ...(withLoss ? [made([])] : []),
    ],
  },
  [llama.OwLoreAttention]: {
    on: onBoth,
    outputs: (inputs, attrs: llama.OwLoreAttentionAttrs, backend) => {
      const sizes = sizesOf(inputs, attrs);
      return [made([sizes.tokens, sizes.queries]), ...heads(sizes, backend)];
    },
  },
  [llama.OwLoreAttentionGrad]: {
    on: onBoth,
    outputs: (inputs, {withKernelGradients}: llama.OwLoreAttentionGradAttrs) => [
      like(inputs['x']!),
      ...(withKernelGradients ? gradients(inputs, PROJECTIONS, BIASES) : []),
    ],
  },
  [llama.OwLoreAttentionSublayer]: {
    on: ['tensorflow'],
    outputs: (inputs, attrs: llama.OwLoreAttentionSublayerAttrs, backend) => [
      like(inputs['x']!),
      ...attentionOutputs(inputs, attrs, backend),
    ],
  },
  [llama.OwLoreAttentionSublayerGrad]: {
    on: ['tensorflow'],
    outputs: (inputs, {withWeightGradients}: llama.OwLoreAttentionSublayerGradAttrs) => [
      like(inputs['x']!),
      ...(withWeightGradients ? gradients(inputs, ['norm', ...PROJECTIONS, 'o'], BIASES) : []),
    ],
  },
  [llama.OwLoreMlpSublayer]: {
    on: ['tensorflow'],
    outputs: (inputs) => [like(inputs['x']!), ...mlpOutputs(inputs)],
  },
  [llama.OwLoreMlpSublayerGrad]: {
    on: ['tensorflow'],
    outputs: (inputs, {withWeightGradients}: llama.OwLoreMlpSublayerGradAttrs) => [
      like(inputs['x']!),
      ...(withWeightGradients ? gradients(inputs, ['norm', ...MLP]) : []),
    ],
  },
  [llama.OwLoreBlock]: {
    on: ['tensorflow'],
    outputs: (inputs, attrs: llama.OwLoreBlockAttrs, backend) => {
      const x = inputs['x']!;
      const [scale, mixed, ...others] = attentionOutputs(inputs, attrs, backend);
      if (inputs['attended']) return [like(x), ...mlpOutputs(inputs), scale!, ...others];
      const weights = attrs.keepsWeights ? attentionWeights(inputs, attrs) : [];
      return [like(x), like(x), ...mlpOutputs(inputs), scale!, mixed!, ...others, ...weights];
    },
  },
  [llama.OwLoreBlockGrad]: {
    on: ['tensorflow'],
    outputs: (inputs, {withWeightGradients}: llama.OwLoreBlockGradAttrs) => {
      const dx = like(inputs['x']!);
      if (!withWeightGradients) return [dx];
      const weightGradients = [
        ...gradients(inputs, ['norm', ...PROJECTIONS, 'o'], BIASES, ALL),
        ...gradients(inputs, ['mlpNorm', ...MLP], [], ALL),
      ];
      return [dx, ...weightGradients];
    },
  },
  [llama.OwLoreDecodeBlock]: {
    on: onBoth,
    outputs: (inputs) => [like(inputs['x']!), ...recent(inputs, '')],
  },
  [llama.OwLoreDecodeBlocks]: {
    on: onBoth,
    outputs: (inputs, {blocks}: llama.OwLoreDecodeBlocksAttrs) => [
      like(inputs['x']!),
      ...Array.from({length: blocks}, (_, i) => recent(inputs, `${i}`)).flat(),
    ],
  },
  [llama.OwLorePackedMatMul]: {
    on: ['wasm'],
    outputs: ({x}, {shape, transposed}: llama.OwLorePackedMatMulAttrs) =>
      made([x!.shape[0]!, shape[transposed ? 0 : 1]]),
  },
  [llama.OwLoreUnpackWindow]: {
    on: describedBackends,
    outputs: (_, {shape}: llama.OwLoreUnpackWindowAttrs) => made(shape),
  },
  [llama.OwLoreUnpackRows]: {
    on: describedBackends,
    outputs: ({ids}, {columns}: llama.OwLoreUnpackRowsAttrs) => made([...ids!.shape, columns]),
  },
};

const PROJECTIONS = ['q', 'k', 'v'];
const BIASES = ['qBias', 'kBias', 'vBias'];
const MLP = ['gate', 'up', 'down'];
const ALL = [...PROJECTIONS, 'o', ...MLP];

/** Positions whose attention weights tensorflow returns in one tensor, as `tensorflow/attention` has them. */
const ROWS = 128;

interface Sizes {
  tokens: number;
  length: number;
  /** Batch · key heads. */
  stack: number;
  /** Query heads of a key head. */
  group: number;
  width: number;
  queries: number;
  keys: number;
}

function sizesOf({x, cos}: KernelInputs, {heads, keyHeads}: llama.OwLoreAttentionAttrs): Sizes {
  const [length, half] = cos!.shape as [number, number];
  const tokens = tf.util.sizeFromShape(x!.shape.slice(0, -1));
  const [stack, group, width] = [(tokens / length) * keyHeads, heads / keyHeads, 2 * half];
  return {tokens, length, stack, group, width, queries: heads * width, keys: keyHeads * width};
}

/** Queries, keys and values. */
function heads(
  {tokens, length, stack, group, width, queries, keys}: Sizes,
  backend: DescribedBackend,
): KernelOutput[] {
  const shapes =
    backend === 'wasm'
      ? [queries, keys, keys].map((columns) => [tokens, columns])
      : [[stack, group, length, width], ...[0, 1].map(() => [stack, length, width])];
  return shapes.map((shape) => made(shape));
}

/** What the first half of a block puts out beside its value: scale, mixed, queries, keys, values. */
function attentionOutputs(
  inputs: KernelInputs,
  attrs: llama.OwLoreAttentionAttrs,
  backend: DescribedBackend,
): KernelOutput[] {
  const sizes = sizesOf(inputs, attrs);
  const {tokens, queries} = sizes;
  return [made([tokens, 1]), made([tokens, queries]), ...heads(sizes, backend)];
}

/** What the second half puts out beside its value: scale, gated, upped. */
function mlpOutputs({x, gate}: KernelInputs): KernelOutput[] {
  const tokens = tf.util.sizeFromShape(x!.shape.slice(0, -1));
  const columns = gate!.shape[1]!;
  return [made([tokens, 1]), made([tokens, columns]), made([tokens, columns])];
}

/**
 * Gradients of weights: of A and B alone if there are low-rank products with one of the matrices.
 *
 * @param all Matrices that may have such products. Default: `names`.
 */
function gradients(
  inputs: KernelInputs,
  names: readonly string[],
  biases: readonly string[] = [],
  all = names,
): KernelOutput[] {
  const lowRank = (among: readonly string[]): string[] =>
    among.filter((name) => inputs[`${name}A`]);
  if (lowRank(all).length > 0) {
    return likeAll(
      inputs,
      lowRank(names).flatMap((name) => [`${name}A`, `${name}B`]),
    );
  }
  const given = biases.filter((name) => inputs[name]);
  return likeAll(inputs, [...names, ...given]);
}

function attentionWeights(inputs: KernelInputs, attrs: llama.OwLoreAttentionAttrs): KernelOutput[] {
  const {length, stack, group} = sizesOf(inputs, attrs);
  const {window = Infinity} = attrs;
  return Array.from({length: Math.ceil(length / ROWS)}, (_, i) => {
    const [from, to] = [i * ROWS, Math.min((i + 1) * ROWS, length)];
    const firstKey = Math.max(0, from - window + 1);
    return made([stack, group * (to - from), to - firstKey]);
  });
}

/** Keys and values of the last positions, with the new one. */
function recent(inputs: KernelInputs, number: string): KernelOutput[] {
  return ['recentKeys', 'recentValues'].map((name) => {
    const [rows, keyHeads, positions, width] = inputs[name + number]!.shape;
    return made([rows!, keyHeads!, positions! + 1, width!]);
  });
}
