import * as tf from '@tensorflow/tfjs-core';
import {display} from '../common/options';
import type {Contract, KernelArguments} from './kernel_arguments';

/** The valid arguments of tfjs's kernels that this library replaces or adds to a backend. */
export const tfjsContracts: Readonly<Record<string, Contract>> = {
  [tf.Add]: (given) => {
    const a = given.shape('a', ...NUMERIC, 'complex64');
    const dtype = [...NUMERIC, 'complex64' as const].find((dtype) => given.isOf(dtype, 'a'))!;
    tf.broadcast_util.assertAndGetBroadcastShape([...a], [...given.shape('b', dtype)]);
  },
  [tf.BatchMatMul]: (given) => void product(given, ...NUMERIC, 'complex64'),
  [tf._FusedMatMul]: (given) => {
    const out = product(given, ...NUMERIC);
    if (out.length !== 3) given.fail(`inputs 'a' and 'b' must have 3 axes; got ${given.text('a')}`);
    const columns = out[2]!;
    if (given.has('bias')) broadcast(given, 'bias', out);
    const activation = given.oneOf('activation', ACTIVATIONS);
    if (activation === 'leakyrelu') given.finite(-Infinity, 'leakyreluAlpha');
    if (activation === 'prelu') {
      const alpha = given.shape('preluActivationWeights');
      const size = tf.util.sizeFromShape([...alpha]);
      const isLastAxis = alpha.at(-1) === columns && size === columns;
      if (!isLastAxis && size !== 1) given.match('preluActivationWeights', out);
    }
  },
  [tf.UnsortedSegmentSum]: (given) => {
    const x = given.shape('x', ...NUMERIC);
    if (x.length === 0) given.fail("input 'x' must have at least one axis; got a scalar");
    given.match('segmentIds', [x[0]!], 'int32');
    given.integer('numSegments', 0);
  },
  [tf.Concat]: (given) => {
    const first = given.shape('0', ...NUMERIC, 'string');
    const axis = axisOf(given, '0', first);
    const others = first.map((size, i) => (i === axis ? null : size));
    const dtypes = given.isOf('string', '0') ? (['string'] as const) : NUMERIC;
    for (let i = 1; given.has(String(i)); i++) given.match(String(i), others, ...dtypes);
  },
  [tf.GatherV2]: (given) => {
    const x = given.shape('x', ...NUMERIC);
    const indices = given.shape('indices', 'int32');
    const batchDims = given.attr('batchDims');
    const max = Math.min(indices.length, axisOf(given, 'x', x));
    const batch = Number(batchDims) < 0 ? Number(batchDims) + indices.length : Number(batchDims);
    if (!Number.isInteger(batchDims) || batch < 0 || batch > max) {
      given.fail(`attribute 'batchDims' must be an integer <= ${max}; got ${display(batchDims)}`);
    }
  },
  [tf.Slice]: slice,
  [tf.SplitV]: split,
  [tf.Unpack]: (given) => void axisOf(given, 'value', given.shape('value', ...NUMERIC, 'string')),
  [tf.Identity]: (given) => void given.shape('x', ...NUMERIC, 'string'),
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

/** The shape of a product of stacks of matrices. */
function product(given: KernelArguments, ...dtypes: tf.DataType[]): number[] {
  const [a, b] = [given.shape('a', ...dtypes), given.shape('b', ...dtypes)];
  for (const name of ['a', 'b']) {
    if (given.shape(name, ...dtypes).length < 2) {
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

/** `begin` and `size`, which are numbers or lists, may each leave out last axes; −1 is all that is left, as is a missing `size`. */
function slice(given: KernelArguments): void {
  const shape = given.shape('x', ...NUMERIC, 'string');
  if (given.attr('begin') == null) given.fail("attribute 'begin' is missing");
  const [begin, size] = ['begin', 'size'].map((name) => {
    const value = given.attr(name);
    return value === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value];
  }) as [unknown[], unknown[]];
  const isWithin = Array.from({length: Math.max(begin.length, size.length)}).every((_, axis) => {
    const from = axis < begin.length ? begin[axis] : 0;
    const [count, length] = [axis < size.length ? size[axis] : -1, shape[axis]];
    if (!Number.isInteger(from) || !Number.isInteger(count) || length === undefined) return false;
    return (
      Number(from) >= 0 &&
      Number(count) >= -1 &&
      Number(from) + Math.max(0, Number(count)) <= length
    );
  });
  if (isWithin) return;
  given.fail(
    `attributes begin ${display(given.attr('begin'))} and size ${display(given.attr('size'))} must be within input 'x', ${given.text('x')}`,
  );
}

function split(given: KernelArguments): void {
  const shape = given.shape('x', ...NUMERIC, 'string');
  const length = shape[axisOf(given, 'x', shape)]!;
  const parts = given.attr('numOrSizeSplits');
  const all = [parts].flat() as number[];
  // one may be -1, which has what the others leave
  const known = all.filter((size) => size !== -1);
  const left = length - known.reduce((sum, size) => sum + size, 0);
  const isRight = Array.isArray(parts)
    ? all.length - known.length < 2 && (left === 0 || (left > 0 && all.includes(-1)))
    : all.every((count) => count > 0 && length % count === 0);
  if (isRight && known.every((size) => Number.isInteger(size) && size >= 0)) return;
  given.fail(`attribute 'numOrSizeSplits' must split ${length}; got ${display(parts)}`);
}

/** The attribute `axis`, counted from the front, which must be an axis of an input. */
function axisOf(given: KernelArguments, name: string, shape: readonly number[]): number {
  const [axis, rank] = [given.attr('axis'), shape.length];
  if (!Number.isInteger(axis) || Number(axis) < -rank || Number(axis) >= rank)
    given.fail(`attribute 'axis' must be one of ${given.text(name)}; got ${display(axis)}`);
  return (Number(axis) + rank) % rank;
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
  if (tf.util.sizeFromShape([...shape]) > ADDRESSABLE)
    given.fail(`${what} of the shape [${shape}] is too large`);
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
