import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import {dispatch, type KernelArgs} from './program';

/** WGSL: written as bits, because a device may make zeros of subnormal numbers and any NaN of another. */
const code = (): string => `
  fn main(index : i32) {
    if (index >= uniforms.size) { return; }
    let word = packed[index / 2];
    result[index] = bitcast<f32>(select(word << 16u, word & i32(0xffff0000u), (index & 1) == 1));
  }`;

/** OwLoreUnpackBfloat16. */
export function unpackBfloat16({
  inputs: {packed},
  backend,
  attrs: {shape},
}: KernelArgs<{packed: tf.TensorInfo}, OwLoreUnpackBfloat16Attrs>): tf.TensorInfo {
  if (tf.util.sizeFromShape(shape) === 0) {
    return backend.makeTensorInfo(shape, 'float32', new Float32Array());
  }
  return dispatch(backend, {
    ...{name: 'OwLoreUnpackBfloat16', variant: {}, code},
    inputs: [{name: 'packed', tensor: packed, components: 1}],
    uniforms: [],
    output: {shape, dtype: 'float32', components: 1},
    workgroupSize: [128, 1, 1],
  });
}
