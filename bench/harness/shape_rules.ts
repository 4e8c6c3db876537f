/** Output shapes of kernels from their input shapes, computed by tfjs's own functions where there are any. */
import * as tf from '@tensorflow/tfjs-core';

export interface Output {
  shape: number[];
  dtype: tf.DataType;
}

export type Inputs = Record<string, tf.TensorInfo>;

/** The attributes that rules read; a kernel has some of them. */
export interface Attributes {
  axis: number | number[];
  reductionIndices: number | number[];
  keepDims: boolean;
  shape: number[];
  dim: number;
  dtype: tf.DataType;
  transposeA: boolean;
  transposeB: boolean;
  perm: number[];
  begin: number[];
  size: number[];
  numOrSizeSplits: number | number[];
  paddings: Array<[number, number]>;
  batchDims: number;
  depth: number;
  numSegments: number;
}

/** One output, or a list for a kernel that returns a list. */
type Rule = (inputs: Inputs, attributes: Attributes) => Output | Output[];

const {backend_util: util} = tf;

const comparisons = new Set<string>([
  tf.Equal,
  tf.NotEqual,
  tf.Greater,
  tf.GreaterEqual,
  tf.Less,
  tf.LessEqual,
  tf.LogicalAnd,
  tf.LogicalOr,
  tf.LogicalNot,
  tf.IsFinite,
  tf.IsInf,
  tf.IsNan,
]);

/** The kernels that would take long to run, and those that return views. */
const rules: Record<string, Rule> = {
  [tf.Identity]: ({x}) => like(x!),
  [tf.Cast]: ({x}, {dtype}) => ({shape: x!.shape, dtype}),
  [tf.Reshape]: ({x}, {shape}) => ({
    shape: tf.util.inferFromImplicitShape(shape, tf.util.sizeFromShape(x!.shape)),
    dtype: x!.dtype,
  }),
  [tf.ExpandDims]: ({input}, {dim}) => {
    const {shape, dtype} = input!;
    const at = dim < 0 ? shape.length + dim + 1 : dim;
    return {shape: [...shape.slice(0, at), 1, ...shape.slice(at)], dtype};
  },
  [tf.Sum]: ({x}, {axis, keepDims}) => ({
    shape: reducedShape(x!, axis, keepDims),
    dtype: tf.upcastType(x!.dtype, 'int32'),
  }),
  [tf.Mean]: ({x}, {axis, keepDims}) => ({
    shape: reducedShape(x!, axis, keepDims),
    dtype: 'float32',
  }),
  [tf.Max]: ({x}, {reductionIndices, keepDims}) => ({
    shape: reducedShape(x!, reductionIndices, keepDims),
    dtype: x!.dtype,
  }),
  [tf.Softmax]: ({logits}) => like(logits!),
  [tf.BatchMatMul]: ({a, b}, {transposeA, transposeB}) => {
    const batch = util.assertAndGetBroadcastShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2));
    const rows = a!.shape.at(transposeA ? -1 : -2)!;
    const columns = b!.shape.at(transposeB ? -2 : -1)!;
    return {shape: [...batch, rows, columns], dtype: a!.dtype};
  },
  [tf.Transpose]: ({x}, {perm}) => ({
    shape: perm.map((axis) => x!.shape[axis]!),
    dtype: x!.dtype,
  }),
  [tf.Concat]: (inputs, {axis}) => {
    const parts = Object.values(inputs);
    const along = onlyAxis(axis, parts[0]!);
    const shapes = parts.map(({shape}) => shape);
    return {shape: util.computeOutShape(shapes, along), dtype: parts[0]!.dtype};
  },
  [tf.Slice]: ({x}, {begin, size}) => {
    const [, shape] = tf.slice_util.parseSliceParams(x!, begin, size);
    return {shape: shape!, dtype: x!.dtype};
  },
  [tf.SplitV]: ({x}, {numOrSizeSplits, axis}) => {
    const {shape, dtype} = x!;
    const along = onlyAxis(axis, x!);
    return util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits, along).map((size) => ({
      shape: shape.map((length, axis) => (axis === along ? size : length)),
      dtype,
    }));
  },
  [tf.PadV2]: ({x}, {paddings}) => ({
    shape: paddings.map(([before, after], axis) => before + x!.shape[axis]! + after),
    dtype: x!.dtype,
  }),
  [tf.GatherV2]: ({x, indices}, {axis, batchDims}) => {
    const {outputShape} = util.segment_util.collectGatherOpShapeInfo(
      x!,
      indices!,
      onlyAxis(axis, x!),
      batchDims,
    );
    return {shape: outputShape, dtype: x!.dtype};
  },
  [tf.OneHot]: ({indices}, {depth, dtype}) => ({shape: [...indices!.shape, depth], dtype}),
  [tf.TensorScatterUpdate]: ({tensor}) => like(tensor!),
  [tf.UnsortedSegmentSum]: ({x}, {numSegments}) => ({
    shape: [numSegments, ...x!.shape.slice(1)],
    dtype: x!.dtype,
  }),
  [tf.Select]: ({t}) => like(t!),
};

/**
 * Shapes and types of a kernel's outputs, by its rule or by the rule of elementwise kernels (inputs `x`, or `a` and `b`, and no
 * attributes); null if there is no rule for it.
 */
export function outputsByRule(
  kernel: string,
  inputs: Inputs,
  attributes: Attributes,
): Output | Output[] | null {
  const rule = rules[kernel];
  if (rule) return rule(inputs, attributes);
  const names = Object.keys(inputs).sort().join();
  const isElementwise = Object.keys(attributes).length === 0 && ['x', 'a,b'].includes(names);
  if (!isElementwise) return null;
  const [first, second = first] = Object.values(inputs);
  return {
    shape: util.assertAndGetBroadcastShape(first!.shape, second!.shape),
    dtype: comparisons.has(kernel) ? 'bool' : first!.dtype,
  };
}

function like({shape, dtype}: tf.TensorInfo): Output {
  return {shape, dtype};
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
  const [reduced] = util.computeOutAndReduceShapes(shape, axes);
  return keepDims ? util.expandShapeToKeepDim(reduced, axes) : reduced;
}
