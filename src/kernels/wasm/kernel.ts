import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {simdModule, type SimdModule} from './simd_module';

/** What a kernel of the wasm backend is called with. */
export interface KernelArgs<Inputs extends string, Attrs, OptionalInputs extends string = never> {
  inputs: Record<Inputs, tf.TensorInfo> & Partial<Record<OptionalInputs, tf.TensorInfo>>;
  backend: BackendWasm;
  attrs: Attrs;
}

/** A kernel of the wasm backend, with the names of its inputs and the type of its attributes. */
export type WasmKernel<
  Inputs extends string,
  Attrs,
  OptionalInputs extends string = never,
  Outputs = tf.TensorInfo,
> = (args: KernelArgs<Inputs, Attrs, OptionalInputs>) => Outputs;

/**
 * `native` where the backend has the SIMD module and `isFor` holds, elsewhere `composed`.
 */
export function preferModule<Args extends {backend: BackendWasm}, Result>(
  native: (module: SimdModule, args: Args) => Result,
  composed: (args: Args) => Result,
  isFor: (args: Args) => boolean = () => true,
): (args: Args) => Result {
  return (args) => {
    const module = simdModule(args.backend);
    return module && isFor(args) ? native(module, args) : composed(args);
  };
}

/**
 * A new tensor with memory whose contents are not set.
 *
 * @throws if the memory is full.
 */
export function allocate(
  backend: BackendWasm,
  shape: number[],
  dtype: tf.DataType = 'float32',
): tf.TensorInfo {
  return backend.makeOutput(shape, dtype);
}

/** Where the numbers of `x` are in the backend's memory. */
export function addressOf(backend: BackendWasm, x: tf.TensorInfo): number {
  return backend.getMemoryOffset(x.dataId);
}

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

/** A tensor over the same memory, of which it is another owner. */
export function share(backend: BackendWasm, {dataId, shape, dtype}: tf.TensorInfo): tf.TensorInfo {
  backend.incRef(dataId);
  return {dataId, shape, dtype};
}

/**
 * The tensor over the memory of `x` in its place: the data id of `x` ends, and with it what kernels of the backend have kept for it.
 * `x` must be the only owner.
 */
export function renamed(
  backend: BackendWasm,
  {dataId, shape, dtype}: tf.TensorInfo,
): tf.TensorInfo {
  const next = backend.makeOutput(shape, dtype, backend.getMemoryOffset(dataId));
  // The backend's own disposeData would free the memory.
  backend.wasm.tfjs.disposeData(backend.dataIdMap.get(dataId).id);
  backend.dataIdMap.delete(dataId);
  return next;
}

/**
 * The same data under another shape. The result does not count as an owner, so it must not be disposed of.
 */
export function withShape(x: tf.TensorInfo, shape: number[]): tf.TensorInfo {
  return {dataId: x.dataId, shape, dtype: x.dtype};
}

/** Calls `use` with the address of memory that is freed afterwards. */
export function withWorkspace(
  backend: BackendWasm,
  bytes: number,
  use: (address: number) => void,
): void {
  const memory = allocate(backend, [bytes / 4]);
  use(addressOf(backend, memory));
  backend.disposeData(memory.dataId);
}

/** The first of `ids` that is not from 0 to `count` − 1; undefined if all are. */
export function indexOutside(ids: ArrayLike<number>, count: number): number | undefined {
  // By places: the iterator of arrays over shared memory takes seven times as long.
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!(id >= 0 && id < count)) return id;
  }
  return undefined;
}
