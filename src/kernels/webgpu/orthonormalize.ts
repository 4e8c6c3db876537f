import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import type {OwLoreOrthonormalizeInputs} from '../kernel_names';
import {choleskyPasses} from '../cholesky_passes';
import {columnScales} from './column_scales';
import {gram} from './gram';
import {inverseCholesky} from './inverse_cholesky';
import {dispatch, int, optional, type KernelArgs} from './program';
import {
  chooseTile,
  readAcross,
  readAlong,
  tiledProduct,
  tileGrid,
  writeAlong,
  type Tile,
} from './tiled_product';

/**
 * Shifted Cholesky QR (Fukaya et al. 2020): Q ← XR⁻¹ with RᵀR = XᵀX + shift, repeated so that float32 is enough, with the columns
 * scaled to length 1 each time. 13 dispatches for any size.
 */
export function orthonormalize({
  inputs: {matrix},
  backend,
}: KernelArgs<OwLoreOrthonormalizeInputs>): tf.TensorInfo {
  const [rows, columns] = matrix.shape as [number, number];
  if (columns === 0) return backend.makeTensorInfo([rows, 0], 'float32', new Float32Array(0));

  let result = matrix;
  let scales: tf.TensorInfo | undefined = columnScales(backend, matrix);
  for (const dependence of choleskyPasses(columns)) {
    const products = gram(backend, result, scales);
    const inverse = inverseCholesky(backend, products, dependence);
    const next = applyInverse(backend, result, scales, inverse);
    for (const used of [products, inverse, scales]) if (used) backend.disposeData(used.dataId);
    if (result !== matrix) backend.disposeData(result.dataId);
    result = next;
    scales = undefined;
  }
  return result;
}

interface Variant {
  scaled: boolean;
  tile: Tile;
}

const code = ({scaled, tile}: Variant): string => {
  const columns = 'uniforms.columns';
  const matrix = {lines: 'uniforms.rows', length: columns};
  return `
    fn at(index : i32) -> f32 {
      return matrix[index]${scaled ? ` * scales[index % ${columns}]` : ''};
    }
    fn inverseAt(index : i32) -> f32 { return inverse[index]; }
    fn innerLength() -> i32 { return ${columns}; }
    fn finish(index : i32, sum : f32) -> f32 { return sum; }
    ${readAcross('readA', matrix, 'at')}
    ${readAlong('readB', {lines: columns, length: columns}, 'inverseAt')}
    ${writeAlong(matrix)}
    ${tiledProduct(tile, {a: 'inner', b: 'columns'})}`;
};

/** XR⁻¹, with the columns of X first multiplied by `scales`. */
function applyInverse(
  backend: WebGPUBackend,
  matrix: tf.TensorInfo,
  scales: tf.TensorInfo | undefined,
  inverse: tf.TensorInfo,
): tf.TensorInfo {
  const [rows, columns] = matrix.shape as [number, number];
  const tile = chooseTile(rows, columns);
  return dispatch(backend, {
    name: 'OwLoreApplyInverse',
    variant: {scaled: scales !== undefined, tile},
    code,
    inputs: [
      {name: 'matrix', tensor: matrix, components: 1},
      {name: 'inverse', tensor: inverse, components: 1},
      ...optional(['scales', scales]),
    ],
    uniforms: [int('rows', rows), int('columns', columns)],
    output: {shape: [rows, columns], dtype: 'float32', components: 1},
    ...tileGrid(tile, rows, columns),
  });
}
