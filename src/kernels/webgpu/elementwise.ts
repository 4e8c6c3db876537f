import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {componentsFor, dispatch, optional, type Uniform} from './program';

/** A program that makes each number of its output from the numbers at the same place in its inputs. */
export interface Elementwise<Variant extends object> {
  name: string;
  variant: Variant;
  /**
   * WGSL with a function `next(index : i32) -> Value`, where `Value` is a number or a vector of four. It is not called where
   * `allFinite` is false.
   */
  code: (variant: Variant) => string;
  /** Tensors of one shape. The output is the first of them where `allFinite` is false. */
  tensors: Record<string, tf.TensorInfo>;
  /** Scalars; `allFinite` is a boolean. */
  scalars: Record<string, tf.TensorInfo | undefined>;
  uniforms: Uniform[];
}

/** Runs it in one dispatch. */
export function elementwise<Variant extends object>(
  backend: WebGPUBackend,
  {name, variant, code, tensors, scalars, uniforms}: Elementwise<Variant>,
): tf.TensorInfo {
  const [[old, {shape}]] = Object.entries(tensors) as [[string, tf.TensorInfo]];
  const components = componentsFor(tf.util.sizeFromShape(shape));
  const isConditional = scalars['allFinite'] !== undefined;
  return dispatch(backend, {
    name,
    variant: {...variant, isConditional, old},
    code: (full) => `
      alias Value = ${components === 4 ? 'vec4<f32>' : 'f32'};
      ${code(variant)}
      fn main(index : i32) {
        if (index >= uniforms.size) { return; }
        ${full.isConditional ? `if (allFinite[0] == 0) { result[index] = ${full.old}[index]; return; }` : ''}
        result[index] = next(index);
      }`,
    inputs: [
      ...Object.entries(tensors).map(([key, tensor]) => ({name: key, tensor, components})),
      ...optional(...Object.entries(scalars)),
    ],
    uniforms,
    output: {shape, dtype: 'float32', components},
    workgroupSize: [128, 1, 1],
  });
}
