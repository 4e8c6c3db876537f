import type * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {dispatch, int} from './program';

/** A workgroup takes this many columns, with as many threads for each: so it reads contiguous pieces of rows. */
const WIDTH = 16;

/** The smallest normal float32. Not imported, since a page would load a file more for it. */
const SMALLEST_NORMAL = 2 ** -126;

/** The largest magnitude is raised to at least the smallest normal number, whose reciprocal is still finite. */
const code = (): string => `
  var<workgroup> largest : array<f32, ${WIDTH * WIDTH}>;

  fn main() {
    let column = i32(workgroupId.x) * ${WIDTH} + i32(localId.x);
    var own = 0.0;
    if (column < uniforms.columns) {
      for (var row = i32(localId.y); row < uniforms.rows; row += ${WIDTH}) {
        own = max(own, abs(matrix[row * uniforms.columns + column]));
      }
    }
    largest[localIndex] = own;
    workgroupBarrier();
    if (localId.y == 0u && column < uniforms.columns) {
      for (var i = 1u; i < ${WIDTH}u; i++) { own = max(own, largest[localId.x + i * ${WIDTH}u]); }
      result[column] = 1.0 / max(own, ${SMALLEST_NORMAL});
    }
  }`;

/** 1/max|x| of each column: scaled by it, the squares of a column neither underflow nor overflow. */
export function columnScales(backend: WebGPUBackend, matrix: tf.TensorInfo): tf.TensorInfo {
  const [rows, columns] = matrix.shape as [number, number];
  return dispatch(backend, {
    name: 'OwLoreColumnScales',
    variant: {},
    code,
    inputs: [{name: 'matrix', tensor: matrix, components: 1}],
    uniforms: [int('rows', rows), int('columns', columns)],
    output: {shape: [columns], dtype: 'float32', components: 1},
    workgroupSize: [WIDTH, WIDTH, 1],
    workgroups: [Math.ceil(columns / WIDTH), 1, 1],
  });
}
