/** What tfjs's kernels put out: those that a training by this library, or of tfjs-layers, runs. */
import * as tf from '@tensorflow/tfjs-core';
import {
  like,
  made,
  type DescribedBackend,
  type KernelInput,
  type KernelInputs,
  type KernelOutput,
  type OutputRule,
} from './kernel_outputs';

const {backend_util: util} = tf;

/** The attributes that rules read; each kernel has some of them. */
interface Attributes {
  axis: number | number[];
  reductionIndices?: number | number[];
  keepDims: boolean;
  shape: number[];
  dtype: tf.DataType;
  dim: number;
  transposeA: boolean;
  transposeB: boolean;
  perm: number[];
  begin: number[];
  end: number[];
  size: number | number[];
  numOrSizeSplits: number | number[];
  paddings: Array<[number, number]>;
  batchDims: number;
  depth: number;
  numSegments: number;
  reps: number[];
  num: number;
  start: number;
  stop: number;
  step: number;
  k: number;
  equation: string;
  outputShape: number[];
  inputShape: number[];
  filterShape: number[];
  strides: number | [number, number];
  dilations: number | [number, number] | null;
  filterSize: number | [number, number];
  pad: 'same' | 'valid' | number;
  dimRoundingMode: 'floor' | 'round' | 'ceil' | undefined;
  dataFormat: 'NHWC' | 'NCHW';
  value: number | string;
  numSamples: number;
  blockSize: number;
  blockShape: number[];
  crops: number[][];
  cropSize: [number, number];
}

type Rule = OutputRule<Attributes>;

const elementwise: Rule = (inputs) => like(Object.values(inputs)[0]!);
const comparison: Rule = ({x, a = x, b = a}) =>
  made(util.assertAndGetBroadcastShape(a!.shape, b!.shape), 'bool');
const arithmetic: Rule = ({a, b}) =>
  made(util.assertAndGetBroadcastShape(a!.shape, b!.shape), tf.upcastType(a!.dtype, b!.dtype));

/** Rules by the names of the kernels that have them. */
function all(rule: Rule, kernels: readonly string[]): Record<string, Rule> {
  return Object.fromEntries(kernels.map((name) => [name, rule]));
}

/** Of one input, with a result of its shape and dtype. */
const unary = [
  ...[tf.Abs, tf.Acos, tf.Acosh, tf.Asin, tf.Asinh, tf.Atan, tf.Atanh, tf.Ceil, tf.ClipByValue],
  ...[tf.Cos, tf.Cosh, tf.Cumprod, tf.Cumsum, tf.Elu, tf.Erf, tf.Exp, tf.Expm1, tf.Floor],
  ...[tf.FlipLeftRight, tf.LeakyRelu, tf.Log, tf.Log1p, tf.LRN, tf.Neg, tf.OnesLike, tf.Reciprocal],
  ...[tf.Relu, tf.Relu6, tf.Reverse, tf.RotateWithOffset, tf.Round, tf.Rsqrt, tf.Selu, tf.Sigmoid],
  ...[tf.Sign, tf.Sin, tf.Sinh, tf.Softplus, tf.Sqrt, tf.Square, tf.Step, tf.Tan, tf.Tanh],
  ...[tf.ZerosLike, tf.Softmax, tf.FFT, tf.IFFT],
];

const binary = [
  ...[tf.Add, tf.Atan2, tf.FloorDiv, tf.Maximum, tf.Minimum, tf.Mod, tf.Multiply, tf.Pow],
  ...[tf.RealDiv, tf.SquaredDifference, tf.Sub, tf.BitwiseAnd],
];

const comparisons = [
  ...[tf.Equal, tf.NotEqual, tf.Greater, tf.GreaterEqual, tf.Less, tf.LessEqual, tf.LogicalAnd],
  ...[tf.LogicalOr, tf.LogicalNot, tf.IsFinite, tf.IsInf, tf.IsNan],
];

const reduced =
  (dtypeOf: (x: tf.TensorInfo) => tf.DataType): Rule =>
  ({x}, {axis, reductionIndices = axis, keepDims}) =>
    made(reducedShape(x!, reductionIndices, keepDims), dtypeOf(x!));

const convolution: Rule = ({x, filter}, attributes) =>
  made(convolved(x!.shape, filter!.shape, attributes, false));
const depthwise: Rule = ({x, filter}, attributes) =>
  made(convolved(x!.shape, filter!.shape, attributes, true));
const pooling: Rule = ({x}, {filterSize, strides, pad, dimRoundingMode}) =>
  made(
    util.computePool2DInfo(x!.shape as Shape4D, filterSize, strides, 1, pad, dimRoundingMode)
      .outShape,
    x!.dtype,
  );
const resized: Rule = ({images}, {size}) => {
  const [batch, , , channels] = images!.shape as Shape4D;
  return made([batch, ...(size as number[]), channels]);
};

type Shape4D = [number, number, number, number];

const rules: Readonly<Record<string, Rule>> = {
  ...all(elementwise, unary),
  ...all(arithmetic, binary),
  ...all(comparison, comparisons),
  [tf.AddN]: elementwise,
  [tf.Prelu]: ({x}) => like(x!),
  [tf.EluGrad]: ({dy}) => like(dy!),
  [tf.LRNGrad]: ({x}) => like(x!),
  [tf.FusedBatchNorm]: ({x}) => like(x!),
  [tf.Select]: ({t}) => like(t!),
  [tf.Identity]: ({x}) => ({...like(x!), ...(hasStoredShape(x!) && {view: 'x'})}),
  [tf.Cast]: ({x}, {dtype}, backend) => ({
    ...made(x!.shape, dtype),
    ...(isCastView(x!, dtype, backend) && {view: 'x'}),
    ...(backend === 'tensorflow' && {hasOwnId: true}),
  }),
  [tf.Reshape]: ({x}, {shape}, backend) =>
    viewed(
      'x',
      x!,
      tf.util.inferFromImplicitShape(shape, tf.util.sizeFromShape(x!.shape)),
      backend,
    ),
  [tf.ExpandDims]: ({input}, {dim}, backend) => {
    const {shape} = input!;
    const at = dim < 0 ? shape.length + dim + 1 : dim;
    return viewed('input', input!, [...shape.slice(0, at), 1, ...shape.slice(at)], backend);
  },
  [tf.Sum]: reduced(({dtype}) => tf.upcastType(dtype, 'int32')),
  [tf.Prod]: reduced(({dtype}) => tf.upcastType(dtype, 'int32')),
  [tf.Mean]: reduced(() => 'float32'),
  [tf.Max]: reduced(({dtype}) => dtype),
  [tf.Min]: reduced(({dtype}) => dtype),
  [tf.All]: reduced(({dtype}) => dtype),
  [tf.Any]: reduced(({dtype}) => dtype),
  [tf.ArgMax]: reduced(() => 'int32'),
  [tf.ArgMin]: reduced(() => 'int32'),
  [tf.BatchMatMul]: product,
  [tf._FusedMatMul]: product,
  [tf.Einsum]: (inputs, {equation}) => {
    const operands = Object.values(inputs);
    const {allDims, summedDims, idDims} = util.decodeEinsumEquation(equation, operands.length);
    const sizes = new Map<string, number>();
    operands.forEach(({shape}, i) =>
      shape.forEach((size, axis) => sizes.set(`${idDims[i]![axis]}`, size)),
    );
    const kept = allDims.slice(0, allDims.length - summedDims.length);
    return made(
      kept.map((_, i) => sizes.get(`${i}`)!),
      operands[0]!.dtype,
    );
  },
  [tf.Transpose]: ({x}, {perm}) =>
    made(
      perm.map((axis) => x!.shape[axis]!),
      x!.dtype,
    ),
  [tf.Concat]: (inputs, {axis}) => {
    const parts = Object.values(inputs);
    const along = onlyAxis(axis, parts[0]!);
    return made(
      util.computeOutShape(
        parts.map(({shape}) => shape),
        along,
      ),
      parts[0]!.dtype,
    );
  },
  [tf.Pack]: (inputs, {axis}, backend) => {
    const parts = Object.values(inputs);
    const {shape, dtype} = parts[0]!;
    const at = (axis as number) < 0 ? shape.length + (axis as number) + 1 : (axis as number);
    const isView = parts.length === 1 && backend !== 'tensorflow';
    return {
      ...made([...shape.slice(0, at), parts.length, ...shape.slice(at)], dtype),
      ...(isView && {view: Object.keys(inputs)[0]!}),
    };
  },
  [tf.Unpack]: ({value}, {axis}) => {
    const along = onlyAxis(axis, value!);
    const shape = value!.shape.filter((_, i) => i !== along);
    return Array.from({length: value!.shape[along]!}, () => made(shape, value!.dtype));
  },
  [tf.SplitV]: ({x}, {numOrSizeSplits, axis}) => {
    const along = onlyAxis(axis, x!);
    return util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits, along).map((size) =>
      made(
        x!.shape.map((all, i) => (i === along ? size : all)),
        x!.dtype,
      ),
    );
  },
  [tf.Slice]: ({x}, {begin, size}) => {
    const [, shape] = tf.slice_util.parseSliceParams(x!, begin, size);
    return made(shape!, x!.dtype);
  },
  [tf.StridedSlice]: ({x}, attributes, backend) => {
    const {begin, end, strides} = attributes;
    type Masks = Record<
      'beginMask' | 'endMask' | 'ellipsisMask' | 'newAxisMask' | 'shrinkAxisMask',
      number
    >;
    const masks = attributes as unknown as Masks;
    const {beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask} = masks;
    const {finalShape, isIdentity} = tf.slice_util.sliceInfo(
      ...([x!.shape, begin, end, strides as unknown as number[]] as const),
      ...([beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask] as const),
    );
    return {
      ...made(finalShape, x!.dtype),
      ...(isIdentity && backend !== 'tensorflow' && {view: 'x'}),
    };
  },
  [tf.PadV2]: padded,
  [tf.MirrorPad]: padded,
  [tf.Tile]: ({x}, {reps}) =>
    made(
      x!.shape.map((size, i) => size * reps[i]!),
      x!.dtype,
    ),
  [tf.GatherV2]: ({x, indices}, {axis, batchDims}) => {
    const along = onlyAxis(axis, x!);
    const {outputShape} = util.segment_util.collectGatherOpShapeInfo(
      x!,
      indices!,
      along,
      batchDims,
    );
    return made(outputShape, x!.dtype);
  },
  [tf.GatherNd]: ({params, indices}) => {
    const at = indices!.shape;
    return made([...at.slice(0, -1), ...params!.shape.slice(at.at(-1))], params!.dtype);
  },
  [tf.ScatterNd]: ({updates}, {shape}) => made(shape, updates!.dtype),
  [tf.SparseToDense]: ({sparseValues}, {outputShape}) => made(outputShape, sparseValues!.dtype),
  [tf.TensorScatterUpdate]: ({tensor}) => like(tensor!),
  [tf.UnsortedSegmentSum]: ({x}, {numSegments}) =>
    made([numSegments, ...x!.shape.slice(1)], x!.dtype),
  [tf.OneHot]: ({indices}, {depth, dtype}) => made([...indices!.shape, depth], dtype),
  [tf.TopK]: ({x}, {k}) => {
    const shape = [...x!.shape.slice(0, -1), k];
    return [made(shape, x!.dtype), made(shape, 'int32')];
  },
  [tf.Fill]: (_, {shape, value, dtype}) =>
    made(shape, dtype ?? (typeof value === 'string' ? 'string' : 'float32')),
  [tf.Range]: (_, {start, stop, step, dtype}) =>
    made([Math.max(0, Math.ceil((stop - start) / step))], dtype),
  [tf.LinSpace]: (_, {num}) => made([num]),
  [tf.Multinomial]: ({logits}, {numSamples}) => made([logits!.shape[0]!, numSamples], 'int32'),
  [tf.Complex]: ({real}) => made(real!.shape, 'complex64'),
  [tf.Real]: ({input}) => made(input!.shape),
  [tf.Imag]: ({input}) => made(input!.shape),
  [tf.ComplexAbs]: ({x}) => made(x!.shape),
  [tf.Conv2D]: convolution,
  [tf.FusedConv2D]: convolution,
  [tf.DepthwiseConv2dNative]: depthwise,
  [tf.FusedDepthwiseConv2D]: depthwise,
  [tf.Conv2DBackpropInput]: (_, {inputShape}) => made(inputShape),
  [tf.Conv2DBackpropFilter]: (_, {filterShape}) => made(filterShape),
  [tf.DepthwiseConv2dNativeBackpropInput]: (_, {inputShape}) => made(inputShape),
  [tf.DepthwiseConv2dNativeBackpropFilter]: (_, {filterShape}) => made(filterShape),
  [tf.Conv3D]: ({x, filter}, {strides, pad, dilations}) =>
    made(
      util.computeConv3DInfo(
        ...([x!.shape, filter!.shape, strides, dilations, pad] as unknown as Parameters<
          typeof util.computeConv3DInfo
        >),
      ).outShape,
    ),
  [tf.Conv3DBackpropInputV2]: (_, {inputShape}) => made(inputShape),
  [tf.Conv3DBackpropFilterV2]: (_, {filterShape}) => made(filterShape),
  [tf.Dilation2D]: ({x, filter}, {strides, pad, dilations}) =>
    made(
      util.computeDilation2DInfo(
        ...([x!.shape, filter!.shape, strides, pad, 'NHWC', dilations] as unknown as Parameters<
          typeof util.computeDilation2DInfo
        >),
      ).outShape,
    ),
  [tf.Dilation2DBackpropInput]: ({x}) => like(x!),
  [tf.Dilation2DBackpropFilter]: ({filter}) => like(filter!),
  [tf.MaxPool]: pooling,
  [tf.AvgPool]: pooling,
  [tf.MaxPoolGrad]: ({input}) => like(input!),
  [tf.AvgPoolGrad]: ({input}) => like(input!),
  [tf.MaxPool3D]: pooling3D,
  [tf.AvgPool3D]: pooling3D,
  [tf.MaxPool3DGrad]: ({input}) => like(input!),
  [tf.AvgPool3DGrad]: ({input}) => like(input!),
  [tf.ResizeBilinear]: resized,
  [tf.ResizeNearestNeighbor]: resized,
  [tf.ResizeBilinearGrad]: ({images}) => like(images!),
  [tf.ResizeNearestNeighborGrad]: ({images}) => like(images!),
  [tf.CropAndResize]: ({image, boxes}, {cropSize}) =>
    made([boxes!.shape[0]!, ...cropSize, image!.shape[3]!]),
  [tf.DepthToSpace]: ({x}, {blockSize, dataFormat}) => {
    const [batch, ...rest] = x!.shape as Shape4D;
    const square = blockSize * blockSize;
    if (dataFormat === 'NCHW') {
      const [channels, height, width] = rest;
      return made([batch, channels / square, height * blockSize, width * blockSize], x!.dtype);
    }
    const [height, width, channels] = rest;
    return made([batch, height * blockSize, width * blockSize, channels / square], x!.dtype);
  },
};

/** What a kernel of tfjs puts out; undefined if nothing is known of it. */
export function tfjsOutputs(kernel: string): Rule | undefined {
  return Object.hasOwn(rules, kernel) ? rules[kernel] : undefined;
}

/** Names of the kernels that it knows. */
export const describedKernels: readonly string[] = Object.keys(rules);

function product({a, b}: KernelInputs, {transposeA, transposeB}: Attributes): KernelOutput {
  const stack = util.assertAndGetBroadcastShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2));
  const rows = a!.shape.at(transposeA ? -1 : -2)!;
  const columns = b!.shape.at(transposeB ? -2 : -1)!;
  return made([...stack, rows, columns], a!.dtype);
}

function padded({x}: KernelInputs, {paddings}: Attributes): KernelOutput {
  const shape = paddings.map(([before, after], axis) => before + x!.shape[axis]! + after);
  return made(shape, x!.dtype);
}

function convolved(
  x: readonly number[],
  filter: readonly number[],
  {strides, dilations, pad, dimRoundingMode, dataFormat}: Attributes,
  isDepthwise: boolean,
): number[] {
  const {outShape} = util.computeConv2DInfo(
    ...([[...x] as Shape4D, [...filter] as Shape4D, strides, dilations ?? 1, pad] as const),
    ...([dimRoundingMode, isDepthwise, util.convertConv2DDataFormat(dataFormat)] as const),
  );
  return outShape;
}

function pooling3D({x}: KernelInputs, attributes: Attributes): KernelOutput {
  const {filterSize, strides, pad, dimRoundingMode} = attributes;
  const {outShape} = util.computePool3DInfo(
    ...([x!.shape, filterSize, strides, 1, pad, dimRoundingMode] as unknown as Parameters<
      typeof util.computePool3DInfo
    >),
  );
  return made(outShape, x!.dtype);
}

/** An input of another shape. */
function viewed(
  name: string,
  {dtype}: tf.TensorInfo,
  shape: number[],
  backend: DescribedBackend,
): KernelOutput {
  // TensorFlow makes another tensor over the same memory
  return {shape, dtype, view: name, ...(backend === 'tensorflow' && {hasOwnId: true})};
}

function isCastView(x: KernelInput, to: tf.DataType, backend: DescribedBackend): boolean {
  const {dtype} = x;
  if (backend === 'wasm' || backend === 'tensorflow') return dtype === to && hasStoredShape(x);
  return !tf.util.hasEncodingLoss(dtype, to);
}

/** Otherwise wasm copies it, see `wasm/identity`. */
function hasStoredShape({shape, storedShape = shape}: KernelInput): boolean {
  return tf.util.arraysEqual(shape, storedShape);
}

function onlyAxis(axis: number | number[], {shape}: tf.TensorInfo): number {
  return tf.util.parseAxisParam(axis, shape)[0]!;
}

function reducedShape(
  {shape}: tf.TensorInfo,
  axis: number | number[],
  keepDims: boolean,
): number[] {
  const axes = tf.util.parseAxisParam(axis, shape);
  const [kept] = util.computeOutAndReduceShapes(shape, axes);
  return keepDims ? util.expandShapeToKeepDim(kept, axes) : kept;
}
