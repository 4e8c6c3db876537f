import * as tf from '@tensorflow/tfjs-core';
import * as own from '../../src/kernels/kernel_names';
import * as llama from '../../src/kernels/llama/kernel_names';

export interface Given {
  shape: number[];
  /** Default float32. */
  dtype?: tf.DataType;
  /** Integers are below it; default 2. */
  below?: number;
  /** The first integers. */
  ids?: number[];
}

/** A small call of a kernel that is right. */
export interface KernelCase {
  inputs: Record<string, Given>;
  attrs: Record<string, unknown>;
}

const f = (...shape: number[]): Given => ({shape});
const ids = (below: number, ...shape: number[]): Given => ({shape, dtype: 'int32', below});
const allFinite: Given = {shape: [], dtype: 'bool'};

const [batch, length, keyHeads, group, width, hidden, intermediate] = [2, 3, 2, 2, 4, 5, 6];
const tokens = batch * length;
const stack = batch * keyHeads;
const [queries, keys] = [keyHeads * group * width, keyHeads * width];

const moments = {beta1: 0.9, beta2: 0.999};
const step = {rate: 0.1, epsilon: 1e-8, decay: 0.99};
const table = {cos: f(length, width / 2), sin: f(length, width / 2)};
const heads = {heads: keyHeads * group, keyHeads, window: 2};
const projections = {
  ...{q: f(hidden, queries), k: f(hidden, keys), v: f(hidden, keys)},
  ...{qBias: f(queries), kBias: f(keys), vBias: f(keys)},
};
const attentionHalf = {x: f(batch, length, hidden), norm: f(hidden), ...projections, ...table};
const o = f(queries, hidden);
const mlp = {
  ...{gate: f(hidden, intermediate), up: f(hidden, intermediate)},
  down: f(intermediate, hidden),
};
const besideQ = {qA: f(hidden, 2), qB: f(2, queries)};
const besideDown = {downA: f(intermediate, 2), downB: f(2, hidden)};
const mlpResults = {gated: f(tokens, intermediate), upped: f(tokens, intermediate)};

/** What attention's kernel has put out, which is each backend's own matter. */
function projected(backend: string): Record<string, Given> {
  if (backend === 'wasm') {
    return {queries: f(tokens, queries), keys: f(tokens, keys), values: f(tokens, keys)};
  }
  const keyHeadsFirst = f(stack, length, width);
  return {queries: f(stack, group, length, width), keys: keyHeadsFirst, values: keyHeadsFirst};
}

const convolution = {strides: [2, 1], pad: 'same', dimRoundingMode: undefined};

/** For each kernel that this library registers a call of it; a test sees to it that none is missing. */
export function kernelCases(backend: string): Record<string, KernelCase> {
  const sublayerGrad = {
    ...attentionHalf,
    ...{o, dy: f(batch, length, hidden), scale: f(tokens, 1), mixed: f(tokens, queries)},
    ...projected(backend),
  };
  // the next position of each row
  const position = {
    ...{x: f(batch, 1, hidden), cos: f(batch, width / 2), sin: f(batch, width / 2)},
    padding: ids(4, batch),
  };
  const decodedBlock = {
    ...{norm: f(hidden), ...projections, o, mlpNorm: f(hidden), ...mlp},
    ...{keys: f(batch, keyHeads, 4, width), values: f(batch, keyHeads, 4, width)},
    ...{recentKeys: f(batch, keyHeads, 2, width), recentValues: f(batch, keyHeads, 2, width)},
  };
  const decodingAttrs = {heads: keyHeads * group, keyHeads, intermediate, epsilon: 1e-5};
  return {
    [own.OwLoreProject]: {
      inputs: {gradient: f(5, 7), basis: f(5, 2)},
      attrs: {side: 'left'},
    },
    [own.OwLoreRefresh]: {
      inputs: {
        ...{gradient0: f(5, 7), random0: f(5, 2), previous0: f(5, 2)},
        ...{gradient1: f(7, 5), random1: f(5, 2)},
      },
      attrs: {
        refreshes: [
          {side: 'left', multiplications: 1},
          {side: 'right', multiplications: 3},
        ],
        scalesDirections: true,
      },
    },
    [own.OwLoreAdam]: {
      inputs: {
        ...{variable0: f(5, 7), first0: f(2, 7), second0: f(2, 7), gradient0: f(2, 7)},
        ...{variable1: f(4, 3), first1: f(4, 3), second1: f(4, 3), gradient1: f(4, 3)},
        ...{variable2: f(4, 3), first2: f(4, 1), second2: f(4, 1), gradient2: f(4, 1)},
        ...{basis0: f(5, 2), basis2: f(3, 1), clip: f(), allFinite},
      },
      attrs: {
        ...moments,
        updates: [{...step, side: 'left'}, step, {...step, side: 'right'}],
      },
    },
    [own.OwLoreAddRows]: {
      inputs: {x: f(4, 3), ids: ids(4, 5), values: f(5, 3)},
      attrs: {isSoleOwner: true},
    },
    [own.OwLoreAccumulate]: {inputs: {sum: f(3, 5), x: f(3, 5)}, attrs: {}},
    [own.OwLoreSquaredNorm]: {inputs: {x: f(3, 4)}, attrs: {}},
    [own.OwLoreOrthonormalize]: {inputs: {matrix: f(6, 3)}, attrs: {}},
    [own.OwLoreNearlyOrthonormalize]: {inputs: {matrix: f(6, 3)}, attrs: {}},
    [own.OwLoreLeftSingularVectors]: {inputs: {matrix: f(4, 6)}, attrs: {}},
    [own.OwLoreMagnitudeSums]: {inputs: {weight: f(5, 7), norm: f(5)}, attrs: {}},
    [own.OwLoreCountAbove]: {
      inputs: {weight: f(5, 7), norm: f(5, 7)},
      attrs: {thresholds: [0.1, 0.5, Infinity]},
    },
    [own.OwLorePackBfloat16]: {inputs: {x: f(3, 5)}, attrs: {seed: 7}},
    [own.OwLoreUnpackBfloat16]: {
      inputs: {packed: ids(2 ** 30, 8)},
      attrs: {shape: [3, 5]},
    },
    [llama.OwLorePackedMatMul]: {
      inputs: {x: f(3, 5), packed: ids(2 ** 30, 18)},
      attrs: {shape: [7, 5], transposed: true},
    },
    [llama.OwLoreUnpackWindow]: {
      inputs: {packed: ids(2 ** 30, 8)},
      attrs: {columns: 5, begin: [1, 2], shape: [2, 3]},
    },
    [llama.OwLoreUnpackRows]: {
      inputs: {packed: ids(2 ** 30, 8), ids: ids(3, 2, 4)},
      attrs: {columns: 5},
    },
    [llama.OwLoreRMSNorm]: {inputs: {x: f(2, 3, 5), weight: f(5)}, attrs: {epsilon: 1e-5}},
    [llama.OwLoreRMSNormGrad]: {
      inputs: {dy: f(2, 3, 5), x: f(2, 3, 5), weight: f(5)},
      attrs: {epsilon: 1e-5},
    },
    [llama.OwLoreSwiGLU]: {inputs: {gate: f(3, 5), up: f(3, 5)}, attrs: {}},
    [llama.OwLoreSwiGLUGrad]: {
      inputs: {dy: f(3, 5), gate: f(3, 5), up: f(3, 5)},
      attrs: {withValue: true},
    },
    [llama.OwLoreCrossEntropy]: {
      inputs: {logits: f(4, 7), labels: ids(7, 4), weights: f(4)},
      attrs: {},
    },
    [llama.OwLoreCrossEntropyGrad]: {
      inputs: {logits: f(4, 7), labels: ids(7, 4), weights: f(4)},
      attrs: {withLoss: true},
    },
    [llama.OwLoreAttention]: {
      inputs: {x: f(tokens, hidden), ...projections, ...table},
      attrs: heads,
    },
    [llama.OwLoreAttentionGrad]: {
      inputs: {
        ...{dy: f(tokens, queries), y: f(tokens, queries), x: f(tokens, hidden)},
        ...{...projections, ...table, ...projected(backend)},
      },
      attrs: {...heads, withKernelGradients: true},
    },
    [llama.OwLoreAttentionSublayer]: {
      inputs: {...attentionHalf, o, ...besideQ},
      attrs: {...heads, epsilon: 1e-5, qScale: 2},
    },
    [llama.OwLoreAttentionSublayerGrad]: {
      inputs: {...sublayerGrad, ...besideQ},
      attrs: {...heads, epsilon: 1e-5, qScale: 2, withWeightGradients: true},
    },
    [llama.OwLoreMlpSublayer]: {
      inputs: {x: f(batch, length, hidden), norm: f(hidden), ...mlp},
      attrs: {epsilon: 1e-5, withoutValue: false},
    },
    [llama.OwLoreMlpSublayerGrad]: {
      inputs: {
        ...{x: f(batch, length, hidden), norm: f(hidden), ...mlp},
        ...{dy: f(batch, length, hidden), scale: f(tokens, 1), ...mlpResults, ...besideDown},
      },
      attrs: {epsilon: 1e-5, downScale: 1, withWeightGradients: true},
    },
    [llama.OwLoreBlock]: {
      inputs: {...attentionHalf, o, mlpNorm: f(hidden), ...mlp, ...besideQ, ...besideDown},
      attrs: {
        ...{...heads, epsilon: 1e-5, keepsWeights: true, withoutValue: false},
        ...{qScale: 2, downScale: 1},
      },
    },
    [llama.OwLoreBlockGrad]: {
      inputs: {
        ...{...sublayerGrad, mlpNorm: f(hidden), ...mlp, ...mlpResults},
        ...{attended: f(batch, length, hidden), mlpScale: f(tokens, 1)},
        weights0: f(stack, group * length, length),
      },
      attrs: {...heads, epsilon: 1e-5, keepsWeights: true, withWeightGradients: true},
    },
    [llama.OwLoreDecodeBlock]: {
      inputs: {...position, ...decodedBlock},
      attrs: decodingAttrs,
    },
    [llama.OwLoreDecodeBlocks]: {
      inputs: {...position, ...numbered(decodedBlock, 0), ...numbered(decodedBlock, 1)},
      attrs: {...decodingAttrs, blocks: 2},
    },
    [tf.BatchMatMul]: {
      inputs: {a: f(2, 3, 4), b: f(2, 5, 4)},
      attrs: {transposeA: false, transposeB: true},
    },
    [tf._FusedMatMul]: {
      inputs: {a: f(2, 3, 4), b: f(1, 4, 5), bias: f(5), preluActivationWeights: f(5)},
      attrs: {transposeA: false, transposeB: false, activation: 'prelu', leakyreluAlpha: 0.1},
    },
    [tf.UnsortedSegmentSum]: {
      inputs: {x: f(6, 3), segmentIds: ids(4, 6)},
      attrs: {numSegments: 4},
    },
    [tf.Concat]: {inputs: {0: f(3, 4), 1: f(3, 2)}, attrs: {axis: 1}},
    [tf.GatherV2]: {
      inputs: {x: f(4, 20), indices: ids(4, 3)},
      attrs: {axis: 0, batchDims: 0},
    },
    [tf.Slice]: {inputs: {x: f(3, 4)}, attrs: {begin: [1, 0], size: [2, 3]}},
    [tf.SplitV]: {inputs: {x: f(3, 4)}, attrs: {numOrSizeSplits: [1, 3], axis: 1}},
    [tf.Unpack]: {inputs: {value: f(3, 4)}, attrs: {axis: 1}},
    [tf.Add]: {inputs: {a: f(3, 4), b: f(3, 4)}, attrs: {}},
    [tf.Identity]: {inputs: {x: f(3, 4)}, attrs: {}},
    [tf.Cast]: {inputs: {x: f(3, 4)}, attrs: {dtype: 'float32'}},
    [tf.Conv2DBackpropFilter]: {
      inputs: {x: f(2, 4, 5, 3), dy: f(2, 2, 5, 2)},
      attrs: {...convolution, dataFormat: 'NHWC', filterShape: [2, 3, 3, 2]},
    },
    [tf.DepthwiseConv2dNativeBackpropFilter]: {
      inputs: {x: f(2, 4, 5, 3), dy: f(2, 2, 5, 6)},
      attrs: {...convolution, dilations: [1, 1], filterShape: [2, 3, 3, 2]},
    },
    [tf.DepthwiseConv2dNativeBackpropInput]: {
      inputs: {dy: f(2, 2, 5, 6), filter: f(2, 3, 3, 2)},
      attrs: {...convolution, dilations: [1, 1], inputShape: [2, 4, 5, 3]},
    },
    [tf.MaxPoolGrad]: {
      inputs: {dy: f(2, 2, 5, 3), input: f(2, 4, 5, 3), output: f(2, 2, 5, 3)},
      attrs: {...convolution, filterSize: [2, 3]},
    },
  };
}

/** A tensor as described. */
export function tensorOf({shape, dtype = 'float32', below = 2, ids = []}: Given): tf.Tensor {
  const values = <T>(valueAt: (i: number) => T): T[] =>
    Array.from({length: tf.util.sizeFromShape(shape)}, (_, i) => valueAt(i));
  const number = (i: number): number => {
    if (dtype === 'float32') return 0.1 + ((i * 7) % 11) / 11;
    return dtype === 'int32' ? (ids[i] ?? (i * 5) % below) : i % 2;
  };
  if (dtype === 'string')
    return tf.tensor(
      values((i) => `a${i}`),
      shape,
      dtype,
    );
  if (dtype === 'complex64') return tf.tidy(() => tf.complex(tensorOf({shape}), tf.ones(shape)));
  return tf.tensor(values(number), shape, dtype);
}

/** Inputs under their names with a number. */
function numbered(inputs: Record<string, Given>, number: number): Record<string, Given> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, given]) => [`${name}${number}`, given]),
  );
}
