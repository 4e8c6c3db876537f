import type * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {dispatch, int, optional} from './program';
import {readAlong, tiledProduct, tileGrid, writeAlong, type Tile} from './tiled_product';

/** The fewest rows that one sum goes over, and the most parts into which the rows are divided. */
const FEWEST_ROWS = 256;
const MAX_PARTS = 16;

const TILE: Tile = 32;

const code = ({scaled}: {scaled: boolean}): string => {
  const columns = 'uniforms.columns';
  return `
    fn at(index : i32) -> f32 {
      return matrix[index]${scaled ? ` * scales[index % ${columns}]` : ''};
    }
    ${readAlong('readRow', {lines: 'uniforms.rows', length: columns}, 'at')}
    fn readPart(k : i32, column : i32) -> vec4<f32> {
      return readRow(k + i32(workgroupId.z) * uniforms.partRows, column);
    }
    fn readA(row : i32, k : i32) -> vec4<f32> { return readPart(k, row); }
    fn readB(k : i32, column : i32) -> vec4<f32> { return readPart(k, column); }
    fn innerLength() -> i32 { return uniforms.partRows; }
    fn finish(index : i32, sum : f32) -> f32 { return sum; }
    ${writeAlong({lines: columns, length: columns}, 1, `i32(workgroupId.z) * ${columns} * ${columns}`)}
    ${tiledProduct(TILE, {a: 'rows', b: 'columns'})}`;
};

/**
 * XᵀX of a matrix X [rows, columns], whose columns are first multiplied by `scales`. The result has a sum for each part of the
 * rows, [parts, columns, columns], so that more workgroups run at a time and sums are shorter, always in the same order.
 */
export function gram(
  backend: WebGPUBackend,
  matrix: tf.TensorInfo,
  scales: tf.TensorInfo | undefined,
): tf.TensorInfo {
  const [rows, columns] = matrix.shape as [number, number];
  // A multiple of the tiled product's steps, so that no part reads a row of the next part.
  const partRows = Math.max(FEWEST_ROWS, 16 * Math.ceil(rows / (16 * MAX_PARTS)));
  const parts = Math.ceil(rows / partRows);
  return dispatch(backend, {
    name: 'OwLoreGram',
    variant: {scaled: scales !== undefined},
    code,
    inputs: [{name: 'matrix', tensor: matrix, components: 1}, ...optional(['scales', scales])],
    uniforms: [int('rows', rows), int('columns', columns), int('partRows', partRows)],
    output: {shape: [parts, columns, columns], dtype: 'float32', components: 1},
    ...tileGrid(TILE, columns, columns, parts),
  });
}
