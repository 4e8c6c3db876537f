import * as tf from '@tensorflow/tfjs-core';
import type {KernelMaker} from '../replacement';
import {componentsFor, dispatch, int, type KernelArgs} from './program';

type Inputs = Record<'x' | 'segmentIds', tf.TensorInfo>;

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
const sumCode = ({components}: {components: 1 | 4}): string => `
  alias Value = ${components === 4 ? 'vec4<f32>' : 'f32'};
  fn main(index : i32) {
    if (index >= uniforms.size) { return; }
    let column = index % uniforms.columns;
    var sum = Value(0.0);
    var row = links[index / uniforms.columns];
    while (row < uniforms.rows) {
      sum += x[row * uniforms.columns + column];
      row = links[uniforms.segments + row];
    }
    result[index] = sum;
  }`;

/**
 * UnsortedSegmentSum of float32, the gradient of a gather and so of every embedding, by two dispatches: adds the rows of `x` with
 * the same id in their order. tfjs's own kernel adds them atomically, in any order, and rounds in another way each time.
 *
 * A row whose id is negative or not below `numSegments` is dropped; a segment without rows is zero.
 */
export const unsortedSegmentSum: KernelMaker = (stock) => {
  const sum = ({inputs, backend, attrs}: KernelArgs<Inputs, tf.UnsortedSegmentSumAttrs>) => {
    const {x, segmentIds} = inputs;
    const segments = attrs.numSegments;
    const [rows, ...rest] = x.shape as [number, ...number[]];
    const shape = [segments, ...rest];
    const rowSize = tf.util.sizeFromShape(rest);
    if (segments * rows * rowSize === 0) {
      const zeros = tf.util.makeZerosTypedArray(segments * rowSize, x.dtype as tf.NumericDataType);
      return backend.makeTensorInfo(shape, x.dtype, zeros);
    }
    // Whole numbers have one sum in any order.
    if (x.dtype !== 'float32') {
      return stock!.kernelFunc({inputs, backend, attrs: attrs as unknown as tf.NamedAttrMap});
    }
    const components = componentsFor(rowSize);
    const sizes = [int('rows', rows), int('segments', segments)];
    const links = dispatch(backend, {
      ...{name: 'OwLoreLinkRows', variant: {}, code: linkCode},
      inputs: [{name: 'segmentIds', tensor: segmentIds, components: 1}],
      uniforms: sizes,
      output: {shape: [segments + rows], dtype: 'int32', components: 1},
      workgroupSize: [64, 1, 1],
    });
    const sums = dispatch(backend, {
      ...{name: 'OwLoreSumRows', variant: {components}, code: sumCode},
      inputs: [
        {name: 'x', tensor: x, components},
        {name: 'links', tensor: links, components: 1},
      ],
      uniforms: [...sizes, int('columns', rowSize / components)],
      output: {shape, dtype: 'float32', components},
      workgroupSize: [128, 1, 1],
    });
    backend.disposeData(links.dataId);
    return sums;
  };
  // `sum` has its own types of inputs and attributes; the registry has none.
  return sum as unknown as tf.KernelFunc;
};
