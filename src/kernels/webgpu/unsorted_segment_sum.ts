import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import type {OwLoreAddRowsAttrs, OwLoreAddRowsInputs} from '../kernel_names';
import {componentsFor, dispatch, int, type KernelArgs} from './program';

type Inputs = Record<'x' | 'segmentIds', tf.TensorInfo>;

interface Variant {
  type: 'f32' | 'i32';
  components: 1 | 4;
  /** Whether the sums are added to those before. */
  isAdded: boolean;
}

/**
 * WGSL: for each segment its first row, then for each row the next one of the same segment; where there is none, the number of
 * rows.
 */
const linkCode = (): string => `
  fn main(index : i32) {
    if (index >= uniforms.size) { return; }
    var id = index;
    var row = 0;
    if (index >= uniforms.segments) {
      row = index - uniforms.segments;
      id = segmentIds[row];
      row++;
    }
    while (row < uniforms.rows && segmentIds[row] != id) { row++; }
    result[index] = row;
  }`;

/** WGSL: an element of a segment's sum, row after row. */
const sumCode = ({type, components, isAdded}: Variant): string => `
  alias Value = ${components === 4 ? `vec4<${type}>` : type};
  fn main(index : i32) {
    if (index >= uniforms.size) { return; }
    let column = index % uniforms.columns;
    var sum = Value(0);
    var row = links[index / uniforms.columns];
    while (row < uniforms.rows) {
      sum += x[row * uniforms.columns + column];
      row = links[uniforms.segments + row];
    }
    result[index] = ${isAdded ? 'before[index] + ' : ''}sum;
  }`;

/**
 * UnsortedSegmentSum, the gradient of a gather and so of every embedding, by two dispatches: adds the rows of `x` with the same id
 * in their order. tfjs's own kernel adds them atomically, in any order, so that it rounds in another way each time, and its sums
 * of int32 are wrong.
 *
 * A row whose id is negative or not below `numSegments` is dropped; a segment without rows is zero.
 */
export function unsortedSegmentSum({
  inputs: {x, segmentIds},
  backend,
  attrs: {numSegments},
}: KernelArgs<Inputs, tf.UnsortedSegmentSumAttrs>): tf.TensorInfo {
  const dtype = x.dtype === 'float32' ? 'float32' : 'int32'; // the device has booleans as int32
  const shape = [numSegments, ...x.shape.slice(1)];
  const size = tf.util.sizeFromShape(shape);
  if (size === 0 || x.shape[0] === 0) {
    return backend.makeTensorInfo(shape, dtype, tf.util.makeZerosTypedArray(size, dtype));
  }
  return sumRows(backend, x, segmentIds, {shape, dtype});
}

/** OwLoreAddRows, in the same way, as a new tensor. */
export function addRows({
  inputs: {x, ids, values},
  backend,
}: KernelArgs<OwLoreAddRowsInputs, OwLoreAddRowsAttrs>): tf.TensorInfo {
  const {dataId, shape, dtype} = x;
  if ([shape, values.shape].some((each) => tf.util.sizeFromShape(each) === 0)) {
    backend.incRef(dataId);
    return {dataId, shape, dtype};
  }
  return sumRows(backend, values, ids, {shape, dtype: 'float32'}, x);
}

/** @param before What the sums are added to. */
function sumRows(
  backend: WebGPUBackend,
  x: tf.TensorInfo,
  segmentIds: tf.TensorInfo,
  {shape, dtype}: {shape: number[]; dtype: 'float32' | 'int32'},
  before?: tf.TensorInfo,
): tf.TensorInfo {
  const [segments, rows] = [shape[0]!, x.shape[0]!];
  const rowSize = tf.util.sizeFromShape(shape.slice(1));
  const sizes = [int('rows', rows), int('segments', segments)];
  const links = dispatch(backend, {
    ...{name: 'OwLoreLinkRows', variant: {}, code: linkCode},
    inputs: [{name: 'segmentIds', tensor: segmentIds, components: 1}],
    uniforms: sizes,
    output: {shape: [segments + rows], dtype: 'int32', components: 1},
    workgroupSize: [64, 1, 1],
  });
  const components = componentsFor(rowSize);
  const isAdded = before !== undefined;
  const sums = dispatch<Variant>(backend, {
    ...{name: 'OwLoreSumRows', code: sumCode},
    variant: {type: dtype === 'int32' ? 'i32' : 'f32', components, isAdded},
    inputs: [
      {name: 'x', tensor: x, components},
      {name: 'links', tensor: links, components: 1},
      ...(isAdded ? [{name: 'before', tensor: before, components} as const] : []),
    ],
    uniforms: [...sizes, int('columns', rowSize / components)],
    output: {shape, dtype, components},
    workgroupSize: [128, 1, 1],
  });
  backend.disposeData(links.dataId);
  return sums;
}
