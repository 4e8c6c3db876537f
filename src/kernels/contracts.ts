import * as tf from '@tensorflow/tfjs-core';
import {display} from '../options';
import {KernelArguments} from './kernel_arguments';
import * as own from './kernel_names';
import * as llama from './llama_kernel_names';

/** Throws unless the arguments are valid for a kernel. */
type Contract = (given: KernelArguments) => void;

/*
 * The valid arguments of each kernel of this library, on every backend; `kernel_names` and `llama_kernel_names` say what the
 * sizes mean. Unchecked, a kernel of wasm would read and write memory by wrong sizes, and TensorFlow would broadcast them.
 */
export const contracts: Readonly<Record<string, Contract>> = {
  [own.OwLoreProject]: (given) => {
    const [rows, columns] = given.matrix('gradient');
    const isLeft = given.oneOf('side', own.SIDES) === 'left';
    given.match('basis', [isLeft ? rows : columns, null]);
  },
  [own.OwLoreAdam]: (given) => {
    given.scalar('clip');
    given.scalar('allFinite', 'bool');
    given.part('beta1', 'beta2');
    given.list('updates').forEach((update, i) => adamUpdate(given.numbered(i, update)));
  },
  [own.OwLoreSquaredNorm]: (given) => void given.shape('x'),
  [own.OwLoreOrthonormalize]: tallMatrix,
  [own.OwLoreNearlyOrthonormalize]: tallMatrix,
  [own.OwLoreLeftSingularVectors]: (given) => void given.matrix('matrix'),
  [own.OwLoreMagnitudeSums]: weightAndNorm,
  [own.OwLoreCountAbove]: (given) => {
    weightAndNorm(given);
    const thresholds = given.attr('thresholds');
    const isNumber = (x: unknown): boolean => typeof x === 'number' && !Number.isNaN(x);
    if (Array.isArray(thresholds) && thresholds.every(isNumber)) return;
    given.fail("attribute 'thresholds' must be an array of numbers, none of them NaN");
  },

  [llama.OwLoreRMSNorm]: (given) => rows(given, 'x', 'weight'),
  [llama.OwLoreRMSNormGrad]: (given) => {
    rows(given, 'x', 'weight');
    given.match('dy', given.shape('x'));
  },
  [llama.OwLoreSwiGLU]: (given) => given.alike(given.shape('gate'), 'up'),
  [llama.OwLoreSwiGLUGrad]: (given) => {
    given.alike(given.shape('gate'), 'up', 'dy');
    given.flag('withValue');
  },
  [llama.OwLoreCrossEntropy]: crossEntropy,
  [llama.OwLoreCrossEntropyGrad]: crossEntropy,
  [llama.OwLoreAttention]: (given) => {
    const [tokens, hidden] = given.matrix('x');
    attention(given, tokens, hidden);
  },
  [llama.OwLoreAttentionGrad]: (given) => {
    const [tokens, hidden] = given.matrix('x');
    const sizes = attention(given, tokens, hidden);
    given.alike([tokens, sizes.queries], 'y', 'dy');
    heads(given, sizes);
    given.flag('ofKernels');
  },
  [llama.OwLoreAttentionSublayer]: attentionSublayer,
  [llama.OwLoreAttentionSublayerGrad]: attentionSublayerGrad,
  [llama.OwLoreMlpSublayer]: (given) => void mlp(given, 'norm'),
  [llama.OwLoreMlpSublayerGrad]: (given) => mlpGrad(given, 'norm', 'scale'),
  [llama.OwLoreBlock]: (given) => {
    attentionSublayer(given);
    mlp(given, 'mlpNorm');
    given.flag('keepsWeights');
  },
  [llama.OwLoreBlockGrad]: (given) => {
    const {batch, keyHeads} = attentionSublayerGrad(given);
    mlpGrad(given, 'mlpNorm', 'mlpScale');
    given.match('attended', given.shape('x'));
    for (let i = 0; given.has(`weights${i}`); i++) {
      given.match(`weights${i}`, [batch * keyHeads, null, null]);
    }
  },

  [tf.BatchMatMul]: (given) => void product(given),
  [tf._FusedMatMul]: (given) => {
    const out = product(given);
    if (out.length !== 3) given.fail(`inputs 'a' and 'b' must have 3 axes; got ${given.text('a')}`);
    const columns = out[2]!;
    if (given.has('bias')) broadcast(given, 'bias', out);
    const activation = given.oneOf('activation', ACTIVATIONS);
    if (activation === 'leakyrelu') given.finite(-Infinity, 'leakyreluAlpha');
    if (activation === 'prelu') {
      const alpha = given.shape('preluActivationWeights');
      const isLastAxis = alpha.at(-1) === columns && tf.util.sizeFromShape([...alpha]) === columns;
      if (!isLastAxis) given.match('preluActivationWeights', out);
    }
  },
  [tf.UnsortedSegmentSum]: (given) => {
    const x = given.shape('x', ...NUMERIC);
    if (x.length === 0) given.fail("input 'x' must have at least one axis; got a scalar");
    given.match('segmentIds', [x[0]!], 'int32');
    given.integer('numSegments', 0);
  },
  [tf.GatherV2]: (given) => {
    const x = given.shape('x', ...NUMERIC);
    const indices = given.shape('indices', 'int32');
    const {axis, batchDims} = {axis: given.attr('axis'), batchDims: given.attr('batchDims')};
    const isAxis = Number.isInteger(axis) && -x.length <= Number(axis) && Number(axis) < x.length;
    if (!isAxis)
      given.fail(`attribute 'axis' must be one of ${given.text('x')}; got ${display(axis)}`);
    const most = Math.min(indices.length, (Number(axis) + x.length) % x.length);
    const isBatch = Number.isInteger(batchDims) && Number(batchDims) <= most;
    if (!isBatch || Number(batchDims) < -indices.length) {
      given.fail(`attribute 'batchDims' must be an integer <= ${most}; got ${display(batchDims)}`);
    }
  },
  [tf.Identity]: (given) => void given.shape('x', ...NUMERIC),
  [tf.Cast]: (given) => {
    given.shape('x', ...NUMERIC);
    given.oneOf('dtype', NUMERIC);
  },
  [tf.Conv2DBackpropFilter]: (given) => {
    const x = given.match('x', [null, null, null, null]);
    const filter = given.sizes('filterShape', 4);
    strides(given, 'strides');
    given.oneOf('dataFormat', ['NHWC', 'NCHW']);
    if (given.attr('dataFormat') === 'NCHW') return; // the kernel itself refuses it
    if (filter[2] !== x[3]) given.fail(`filterShape [${filter}] does not fit ${given.text('x')}`);
    convolution(given, x, filter, 1, false);
  },
  [tf.DepthwiseConv2dNativeBackpropFilter]: (given) => {
    const x = given.match('x', [null, null, null, null]);
    depthwise(given, x, given.sizes('filterShape', 4));
  },
  [tf.DepthwiseConv2dNativeBackpropInput]: (given) => {
    const filter = given.match('filter', [null, null, null, null]);
    depthwise(given, given.sizes('inputShape', 4), filter);
  },
  [tf.MaxPoolGrad]: (given) => {
    const shape = given.match('input', [null, null, null, null]) as Shape4D;
    const filterSize = strides(given, 'filterSize');
    const step = strides(given, 'strides');
    const {pad, dimRoundingMode} = paddingOf(given);
    const info = tf.backend_util.computePool2DInfo(
      shape,
      filterSize,
      step,
      1,
      pad,
      dimRoundingMode,
    );
    given.match('dy', outShape(given, info));
  },
};

type Shape4D = [number, number, number, number];

const ACTIVATIONS = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'prelu', 'leakyrelu'] as const;
const NUMERIC = ['float32', 'int32', 'bool'] as const;

/**
 * A kernel that first checks its arguments.
 *
 * @throws Error if there is no contract for a kernel of this name.
 */
export function guarded(
  kernelName: string,
  backendName: string,
  kernelFunc: tf.KernelFunc,
): tf.KernelFunc {
  const contract = contracts[kernelName];
  if (!contract) throw new Error(`contracts.ts does not say what ${kernelName} may be given`);
  // a LLaMA kernel would silently ignore a weight that it does not know
  const isOfLlama = (Object.values(llama) as string[]).includes(kernelName);
  return (args) => {
    const given = new KernelArguments(kernelName, backendName, args.inputs, args.attrs);
    contract(given);
    if (isOfLlama) given.refuseOthers();
    return kernelFunc(args);
  };
}

/** One of the updates of {@link own.OwLoreAdam}. */
function adamUpdate(given: KernelArguments): void {
  const isProjected = given.has('basis') || given.attr('side') !== undefined;
  if (isProjected) subspace(given, 'first', 'second', 'gradient');
  else given.alike(given.shape('variable'), 'first', 'second', 'gradient');
  given.finite(-Infinity, 'rate', 'decay');
  given.finite(0, 'epsilon');
}

/** A matrix and the tensors in the subspace of its basis. */
function subspace(given: KernelArguments, ...projected: string[]): void {
  const [rows, columns] = given.matrix('variable');
  const isLeft = given.oneOf('side', own.SIDES) === 'left';
  const [, rank] = given.match('basis', [isLeft ? rows : columns, null]);
  if (rank === 0) given.refuse('basis', 'must have a column');
  given.alike(isLeft ? [rank!, columns] : [rows, rank!], ...projected);
}

function tallMatrix(given: KernelArguments): void {
  const [rows, columns] = given.matrix('matrix');
  if (rows < columns) {
    given.fail(`matrix must be [rows, columns] with rows >= columns; got [${rows},${columns}]`);
  }
}

function weightAndNorm(given: KernelArguments): void {
  const [weight, norm] = [given.shape('weight'), given.shape('norm')];
  const [size, norms] = [sizeOf(weight), sizeOf(norm)];
  if (norms === size || norms === sizeOf(weight.slice(0, -1))) return;
  given.fail(
    `input 'norm' must have a number for each entry or each row of weight [${weight}]; got [${norm}]`,
  );
}

/** Rows of at least one number, and a weight for each place in a row. */
function rows(given: KernelArguments, name: string, weight: string): number {
  const shape = given.shape(name);
  const width = shape.at(-1) ?? 0;
  if (width === 0) given.fail(`input '${name}' must have rows of numbers; got ${given.text(name)}`);
  given.match(weight, [width]);
  given.finite(0, 'epsilon');
  return width;
}

function crossEntropy(given: KernelArguments): void {
  const [rows, vocabulary] = given.matrix('logits');
  if (vocabulary === 0) given.fail(`input 'logits' must have columns; got ${given.text('logits')}`);
  given.match('labels', [rows], 'int32');
  given.match('weights', [rows]);
}

interface AttentionSizes {
  batch: number;
  length: number;
  tokens: number;
  keyHeads: number;
  group: number;
  width: number;
  /** How many numbers a token has in all query heads together, and in all key heads. */
  queries: number;
  keys: number;
}

function attention(given: KernelArguments, tokens: number, hidden: number): AttentionSizes {
  const [length, half] = given.matrix('cos');
  given.match('sin', [length, half]);
  if (length * half === 0) given.fail(`input 'cos' must not be empty; got ${given.text('cos')}`);
  if (tokens % length !== 0) {
    given.fail(`input 'x' must have rows for sequences of ${length} tokens; got ${tokens}`);
  }
  const keyHeads = given.integer('keyHeads', 1);
  const group = given.integer('heads', 1) / keyHeads;
  if (!Number.isInteger(group)) {
    given.fail(`heads must be a multiple of keyHeads; got ${keyHeads * group} and ${keyHeads}`);
  }
  if (given.attr('window') !== undefined) given.integer('window', 1);
  const width = 2 * half;
  const [queries, keys] = [group * keyHeads * width, keyHeads * width];
  given.match('q', [hidden, queries]);
  given.alike([hidden, keys], 'k', 'v');
  if (['qBias', 'kBias', 'vBias'].some((name) => given.has(name))) {
    given.match('qBias', [queries]);
    given.alike([keys], 'kBias', 'vBias');
  }
  return {batch: tokens / length, length, tokens, keyHeads, group, width, queries, keys};
}

/** Queries, keys and values as the backend's kernel returned them. */
function heads(given: KernelArguments, sizes: AttentionSizes): void {
  const {batch, length, tokens, keyHeads, group, width, queries, keys} = sizes;
  const isByToken = given.backendName === 'wasm';
  const stack = batch * keyHeads;
  given.match('queries', isByToken ? [tokens, queries] : [stack, group, length, width]);
  given.alike(isByToken ? [tokens, keys] : [stack, length, width], 'keys', 'values');
}

function attentionSublayer(given: KernelArguments): AttentionSizes {
  const hidden = rows(given, 'x', 'norm');
  const sizes = attention(given, sizeOf(given.shape('x')) / hidden, hidden);
  given.match('o', [sizes.queries, hidden]);
  return sizes;
}

function attentionSublayerGrad(given: KernelArguments): AttentionSizes {
  const sizes = attentionSublayer(given);
  given.match('dy', given.shape('x'));
  given.match('scale', [sizes.tokens, 1]);
  given.match('mixed', [sizes.tokens, sizes.queries]);
  heads(given, sizes);
  given.flag('ofWeights');
  return sizes;
}

function mlp(given: KernelArguments, norm: string): {tokens: number; intermediate: number} {
  const hidden = rows(given, 'x', norm);
  const [, intermediate] = given.match('gate', [hidden, null]) as [number, number];
  given.match('up', [hidden, intermediate]);
  given.match('down', [intermediate, hidden]);
  return {tokens: sizeOf(given.shape('x')) / hidden, intermediate};
}

function mlpGrad(given: KernelArguments, norm: string, scale: string): void {
  const {tokens, intermediate} = mlp(given, norm);
  given.match('dy', given.shape('x'));
  given.match(scale, [tokens, 1]);
  given.alike([tokens, intermediate], 'gated', 'upped');
  given.flag('ofWeights');
}

/** The shape of a product of stacks of matrices. */
function product(given: KernelArguments): number[] {
  const [a, b] = [given.shape('a', ...NUMERIC), given.shape('b', ...NUMERIC)];
  for (const name of ['a', 'b']) {
    if (given.shape(name, ...NUMERIC).length < 2) {
      given.fail(`input '${name}' must have at least 2 axes; got ${given.text(name)}`);
    }
  }
  const [transposeA, transposeB] = [given.flag('transposeA'), given.flag('transposeB')];
  const [rows, inner] = matrixOf(a, transposeA);
  const [innerOfB, columns] = matrixOf(b, transposeB);
  if (inner !== innerOfB) {
    given.fail(
      `the inner shapes (${inner}) and (${innerOfB}) of ${given.text('a')} and ${given.text('b')} with transposeA=` +
        `${transposeA} and transposeB=${transposeB} must match`,
    );
  }
  const stacks = [a, b].map((shape) => shape.slice(0, -2)) as [number[], number[]];
  return [...tf.broadcast_util.assertAndGetBroadcastShape(...stacks), rows, columns];
}

function matrixOf(shape: readonly number[], isTransposed: boolean): [number, number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return isTransposed ? [columns, rows] : [rows, columns];
}

/** An input that must be broadcastable to a shape, without changing that shape. */
function broadcast(given: KernelArguments, name: string, to: readonly number[]): void {
  const shape = given.shape(name);
  const isRight =
    shape.length <= to.length &&
    shape.every((size, axis) => size === 1 || size === to[to.length - shape.length + axis]);
  if (!isRight) given.fail(`input '${name}' must fit [${to}]; got ${given.text(name)}`);
}

function depthwise(
  given: KernelArguments,
  input: readonly number[],
  filter: readonly number[],
): void {
  strides(given, 'strides');
  if (filter[2] !== input[3]) {
    given.fail(`a filter [${filter}] does not fit an input [${input}]`);
  }
  convolution(given, input, filter, strides(given, 'dilations'), true);
}

/** Checks the gradient of a convolution's output. */
function convolution(
  given: KernelArguments,
  input: readonly number[],
  filter: readonly number[],
  dilations: number | [number, number],
  isDepthwise: boolean,
): void {
  if (filter.includes(0)) given.fail(`a filter must have no size of 0; got [${filter}]`);
  addressable(given, 'a filter', filter);
  const {pad, dimRoundingMode} = paddingOf(given);
  const info = tf.backend_util.computeConv2DInfo(
    [...input] as Shape4D,
    [...filter] as Shape4D,
    given.attr('strides') as number | [number, number],
    dilations,
    pad,
    dimRoundingMode,
    isDepthwise,
  );
  given.match('dy', outShape(given, info));
}

/** Numbers that fit into the 4 GiB that a kernel of wasm can address; with more, sizes in 32 bits would wrap around. */
const ADDRESSABLE = 2 ** 30;

/** Throws if a tensor of this shape does not fit into memory. */
function addressable(given: KernelArguments, what: string, shape: readonly number[]): void {
  const size = shape.reduce((product, length) => product * length, 1);
  if (size > ADDRESSABLE) given.fail(`${what} of the shape [${shape}] is too large`);
}

type WindowInfo = Pick<
  tf.backend_util.Conv2DInfo,
  'batchSize' | 'inHeight' | 'inWidth' | 'inChannels' | 'padInfo' | 'outShape'
>;

/** The shape of the output. A padding may leave nothing of it, be invalid, or make the input too large. */
function outShape(given: KernelArguments, info: WindowInfo): readonly number[] {
  const {batchSize, inHeight, inWidth, inChannels, padInfo, outShape} = info;
  const {top, bottom, left, right} = padInfo;
  const padded = [batchSize, inHeight + top + bottom, inWidth + left + right, inChannels];
  addressable(given, 'a padded input', padded);
  if (outShape.every((size) => Number.isInteger(size) && size >= 0)) return outShape;
  return given.fail(`there is no output of the shape [${outShape}]; look at filter, strides, pad`);
}

/** One integer >= 1 of 32 bits, or two. */
function strides(given: KernelArguments, name: string): number | [number, number] {
  const value = given.attr(name);
  const all = [value].flat();
  const isRight =
    all.length <= 2 &&
    all.every((x) => Number.isInteger(x) && Number(x) >= 1 && Number(x) < 2 ** 31);
  if (!isRight)
    given.fail(
      `attribute '${name}' must be one or two integers >= 1 and < 2^31; got ${display(value)}`,
    );
  return value as number | [number, number];
}

function paddingOf(given: KernelArguments): {
  pad: 'same' | 'valid' | number;
  dimRoundingMode: 'floor' | 'round' | 'ceil' | undefined;
} {
  const pad = given.attr('pad') as 'same' | 'valid' | number;
  const isSize = (x: unknown): boolean => Number.isInteger(x) && Number(x) >= 0;
  const isPair = (x: unknown): boolean => Array.isArray(x) && x.length === 2 && x.every(isSize);
  const arePairs =
    Array.isArray(pad) && (pad as unknown[]).length === 4 && (pad as unknown[]).every(isPair);
  if (pad !== 'same' && pad !== 'valid' && !isSize(pad) && !arePairs) {
    given.fail(
      `attribute 'pad' must be 'same', 'valid', sizes or pairs of them; got ${display(pad)}`,
    );
  }
  const roundings = [undefined, null, 'floor', 'round', 'ceil'] as const;
  const dimRoundingMode = given.oneOf('dimRoundingMode', roundings) ?? undefined;
  return {pad, dimRoundingMode};
}

function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const each of shape) size *= each;
  return size;
}
