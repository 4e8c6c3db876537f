import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';

/** A kernel of the wasm backend, with the names of its inputs and the type of its attributes. */
export type WasmKernel<
  Inputs extends string,
  Attrs,
  OptionalInputs extends string = never,
> = (args: {
  inputs: Record<Inputs, tf.TensorInfo> & Partial<Record<OptionalInputs, tf.TensorInfo>>;
  backend: BackendWasm;
  attrs: Attrs;
}) => tf.TensorInfo;

/**
 * Calls the kernel that is registered for the wasm backend; the caller disposes of the result's
 * data.
 */
export function callKernel(
  name: string,
  backend: BackendWasm,
  inputs: tf.NamedTensorInfoMap | tf.TensorInfo[],
  attrs: Record<string, unknown> = {},
): tf.TensorInfo {
  const {kernelFunc} = tf.getKernel(name, 'wasm');
  return kernelFunc({
    inputs: inputs as tf.NamedTensorInfoMap,
    backend,
    attrs: attrs as tf.NamedAttrMap,
  }) as tf.TensorInfo;
}

/**
 * The same data under another shape; it is not counted as an owner, so it must not be disposed of.
 */
export function withShape(x: tf.TensorInfo, shape: number[]): tf.TensorInfo {
  return {dataId: x.dataId, shape, dtype: x.dtype};
}
