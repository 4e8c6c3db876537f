import type * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {SMALLEST_REST, type Dependence} from '../cholesky_passes';
import {dispatch, float, int} from './program';

const THREADS = 256;

/**
 * One workgroup computes R row by row, then each thread its own columns of R⁻¹. Both are in the output, R only as scratch,
 * because it is too large for the memory of a workgroup. `scales` are the reciprocal lengths of the columns.
 */
const code = (): string => `
  var<workgroup> rest : f32;

  fn gramAt(row : i32, column : i32) -> f32 {
    let n = uniforms.columns;
    var sum = 0.0;
    for (var part = 0; part < uniforms.parts; part++) { sum += gram[(part * n + row) * n + column]; }
    return sum;
  }

  fn inverseAt(row : i32, column : i32) -> i32 { return row * uniforms.columns + column; }
  fn factorAt(row : i32, column : i32) -> i32 { return (uniforms.columns + row) * uniforms.columns + column; }
  fn scaleAt(column : i32) -> i32 { return 2 * uniforms.columns * uniforms.columns + column; }

  // Four numbers at a time: their loads are under way together.
  ${four('factorBelow', (i) => `factorAt(row + ${i}, column)`)}
  ${four('factorBeside', (i) => `factorAt(row, column + ${i})`)}
  ${four('inverseBelow', (i) => `inverseAt(row + ${i}, column)`)}

  fn main() {
    let n = uniforms.columns;
    let thread = i32(localIndex);
    for (var i = thread; i < n; i += ${THREADS}) {
      let square = gramAt(i, i);
      var scale = 0.0;
      if (square > uniforms.shortest * uniforms.shortest) { scale = 1.0 / sqrt(square); }
      result[scaleAt(i)] = scale;
    }
    storageBarrier();

    for (var j = 0; j < n; j++) {
      let scale = result[scaleAt(j)];
      for (var i = j + thread; i < n; i += ${THREADS}) {
        var value = gramAt(j, i) * scale * result[scaleAt(i)];
        if (i == j) { value += uniforms.shift; }
        var k = 0;
        for (; k + 4 <= j; k += 4) { value -= dot(factorBelow(k, j), factorBelow(k, i)); }
        for (; k < j; k++) { value -= result[factorAt(k, j)] * result[factorAt(k, i)]; }
        result[factorAt(j, i)] = value;
        if (i == j) { rest = value; }
      }
      workgroupBarrier();
      var reciprocal = 0.0;
      if (rest >= uniforms.smallestRest) {
        reciprocal = 1.0 / sqrt(max(rest, ${SMALLEST_REST}));
      }
      for (var i = j + thread; i < n; i += ${THREADS}) {
        result[factorAt(j, i)] *= reciprocal;
        if (i == j) { result[inverseAt(j, j)] = reciprocal; }
      }
      storageBarrier();
      workgroupBarrier();
    }

    for (var j = thread; j < n; j += ${THREADS}) {
      for (var i = n - 1; i > j; i--) { result[inverseAt(i, j)] = 0.0; }
      for (var i = j - 1; i >= 0; i--) {
        var sum = 0.0;
        var k = i + 1;
        for (; k + 3 <= j; k += 4) { sum += dot(factorBeside(i, k), inverseBelow(k, j)); }
        for (; k <= j; k++) { sum += result[factorAt(i, k)] * result[inverseAt(k, j)]; }
        result[inverseAt(i, j)] = -sum * result[inverseAt(i, i)];
      }
    }
    storageBarrier();
    for (var j = thread; j < n; j += ${THREADS}) {
      for (var i = 0; i <= j; i++) { result[inverseAt(i, j)] *= result[scaleAt(i)]; }
    }
  }`;

/** WGSL: `name(row : i32, column : i32) -> vec4<f32>`, the numbers at four places. */
function four(name: string, place: (i: number) => string): string {
  const numbers = [0, 1, 2, 3].map((i) => `result[${place(i)}]`);
  return `fn ${name}(row : i32, column : i32) -> vec4<f32> { return vec4<f32>(${numbers.join(', ')}); }`;
}

/**
 * R⁻¹ of the Cholesky decomposition RᵀR of a Gram matrix, which is given as [parts, columns, columns] to be summed. XR⁻¹ has
 * orthonormal columns, as far as float32 goes. R⁻¹ is the first columns×columns numbers of the output.
 */
export function inverseCholesky(
  backend: WebGPUBackend,
  gram: tf.TensorInfo,
  {shift, shortest, smallestRest}: Dependence,
): tf.TensorInfo {
  const [parts, columns] = gram.shape as [number, number, number];
  return dispatch(backend, {
    name: 'OwLoreInverseCholesky',
    variant: {},
    code,
    inputs: [{name: 'gram', tensor: gram, components: 1}],
    uniforms: [
      int('columns', columns),
      int('parts', parts),
      float('shift', shift),
      float('shortest', shortest),
      float('smallestRest', smallestRest),
    ],
    output: {shape: [2 * columns + 1, columns], dtype: 'float32', components: 1},
    workgroupSize: [THREADS, 1, 1],
    workgroups: [1, 1, 1],
  });
}
