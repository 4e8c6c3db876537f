import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {OwLoreUnpackRowsAttrs, OwLoreUnpackWindowAttrs} from '../llama/kernel_names';
import {dispatch, int, type Input, type KernelArgs, type Uniform} from './program';

/**
 * WGSL: written as bits, because a device may make zeros of subnormal numbers and any NaN of another. `from` is the place of a
 * number of the result among the packed ones.
 */
const code = (from: string): string => `
  fn main(index : i32) {
    if (index >= uniforms.size) { return; }
    let place = ${from};
    let word = packed[place / 2];
    result[index] = bitcast<f32>(select(word << 16u, word & i32(0xffff0000u), (place & 1) == 1));
  }`;

/** OwLoreUnpackBfloat16. */
export function unpackBfloat16({
  inputs: {packed},
  backend,
  attrs: {shape},
}: KernelArgs<{packed: tf.TensorInfo}, OwLoreUnpackBfloat16Attrs>): tf.TensorInfo {
  return unpack(backend, shape, {packed, from: 'index'});
}

/** OwLoreUnpackWindow. */
export function unpackWindow({
  inputs: {packed},
  backend,
  attrs: {columns, begin, shape},
}: KernelArgs<{packed: tf.TensorInfo}, OwLoreUnpackWindowAttrs>): tf.TensorInfo {
  return unpack(backend, shape, {
    packed,
    from: 'uniforms.begin + (index / uniforms.width) * uniforms.columns + index % uniforms.width',
    uniforms: [
      int('begin', begin[0] * columns + begin[1]),
      int('columns', columns),
      int('width', shape[1]),
    ],
  });
}

/** OwLoreUnpackRows; An id that is not that of a row gives the first or the last row. */
export function unpackRows({
  inputs: {packed, ids},
  backend,
  attrs: {columns},
}: KernelArgs<Record<'packed' | 'ids', tf.TensorInfo>, OwLoreUnpackRowsAttrs>): tf.TensorInfo {
  const rows = Math.floor((2 * packed.shape[0]!) / columns);
  return unpack(backend, [...ids.shape, columns], {
    packed,
    ids,
    from: 'clamp(ids[index / uniforms.columns], 0, uniforms.rows - 1) * uniforms.columns + index % uniforms.columns',
    uniforms: [int('columns', columns), int('rows', rows)],
  });
}

interface Source {
  packed: tf.TensorInfo;
  ids?: tf.TensorInfo;
  /** See {@link code}. */
  from: string;
  uniforms?: Uniform[];
}

function unpack(
  backend: WebGPUBackend,
  shape: number[],
  {packed, ids, from, uniforms = []}: Source,
): tf.TensorInfo {
  if (tf.util.sizeFromShape(shape) === 0) {
    return backend.makeTensorInfo(shape, 'float32', new Float32Array());
  }
  const inputs: Input[] = [{name: 'packed', tensor: packed, components: 1}];
  if (ids) inputs.push({name: 'ids', tensor: ids, components: 1});
  return dispatch(backend, {
    ...{name: 'OwLoreUnpackBfloat16', variant: {from}, code: () => code(from)},
    ...{inputs, uniforms},
    output: {shape, dtype: 'float32', components: 1},
    workgroupSize: [128, 1, 1],
  });
}
