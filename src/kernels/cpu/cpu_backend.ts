import type * as tf from '@tensorflow/tfjs-core';

/** What the kernels use of the cpu backend. */
export interface CpuBackend {
  data: {get(dataId: object): {values: tf.TypedArray}};
  incRef(dataId: object): void;
  makeTensorInfo(shape: number[], dtype: tf.DataType, values: tf.TypedArray): tf.TensorInfo;
}

/** What a kernel is called with. */
export interface CpuKernelArgs<Inputs, Attrs> {
  inputs: Inputs;
  backend: CpuBackend;
  attrs: Attrs;
}

/** The values of a float32 tensor themselves. */
export function floatsOf(backend: CpuBackend, {dataId}: tf.TensorInfo): Float32Array {
  return backend.data.get(dataId).values as Float32Array;
}
