import * as tf from '@tensorflow/tfjs-core';
import type {OwLorePackBfloat16Attrs} from '../kernel_names';
import {dispatch, int, type KernelArgs} from './program';

/** WGSL: the loop of `roundStochastically`, for the two numbers of a word. */
const code = (): string => `
  fn noise(i : u32) -> u32 {
    var x = (i * 0x9e3779b9u) ^ bitcast<u32>(uniforms.seed);
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
  }

  fn rounded(i : i32) -> u32 {
    if (i >= uniforms.count) { return 0u; }
    let word = bitcast<u32>(x[i]);
    let half = word >> 16u;
    let rest = word & 0xffffu;
    if (rest == 0u) { return half; }
    if ((half & 0x7f80u) == 0x7f80u) { return half | 0x40u; }
    let near = half + ((rest + (noise(u32(i)) >> 16u)) >> 16u);
    return select(near, half, (near & 0x7f80u) == 0x7f80u);
  }

  fn main(index : i32) {
    if (index >= uniforms.size) { return; }
    result[index] = bitcast<i32>(rounded(2 * index) | (rounded(2 * index + 1) << 16u));
  }`;

/** OwLorePackBfloat16. */
export function packBfloat16({
  inputs: {x},
  backend,
  attrs: {seed},
}: KernelArgs<{x: tf.TensorInfo}, OwLorePackBfloat16Attrs>): tf.TensorInfo {
  const count = tf.util.sizeFromShape(x.shape);
  const shape = [Math.ceil(count / 2)];
  if (count === 0) return backend.makeTensorInfo(shape, 'int32', new Int32Array());
  return dispatch(backend, {
    ...{name: 'OwLorePackBfloat16', variant: {}, code},
    inputs: [{name: 'x', tensor: x, components: 1}],
    uniforms: [int('count', count), int('seed', seed | 0)],
    output: {shape, dtype: 'int32', components: 1},
    workgroupSize: [128, 1, 1],
  });
}
