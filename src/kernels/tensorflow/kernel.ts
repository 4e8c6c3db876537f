import type * as tf from '@tensorflow/tfjs-core';
import {nativeOf, NativeOps, type Native, type NodeBackend} from './native_ops';

/** Inputs of a kernel by name; those that are optional may be missing. */
export type NativeInputs = Readonly<Record<string, Native>>;

export type NativeKernel<Attrs> = (
  ops: NativeOps,
  inputs: NativeInputs,
  attrs: Attrs,
) => Native | Native[];

/** Runs a kernel on a backend. */
export type KernelRunner<Attrs> = (
  backend: NodeBackend,
  inputs: NativeInputs,
  attrs: Attrs,
) => Native[];

/** Runs a kernel, alone or as a part of another, and frees its intermediate results. */
export function runOps<Attrs>(
  kernel: NativeKernel<Attrs>,
  ops: NativeOps,
  inputs: NativeInputs,
  attrs: Attrs,
): Native[] {
  return ops.scope(() => [kernel(ops, inputs, attrs)].flat());
}

/** Turns a kernel with one result into a function that tfjs can register. */
export function asKernelFunc<Attrs>(kernel: NativeKernel<Attrs>): tf.KernelFunc {
  return ({inputs, backend, attrs}) => {
    const native = backend as NodeBackend;
    const ops = new NativeOps(native);
    const [result] = runOps(kernel, ops, nativeInputs(native, inputs), attrs as Attrs);
    return native.createOutputTensor(result!);
  };
}

/** The TensorFlow tensors behind a kernel's inputs. */
export function nativeInputs(backend: NodeBackend, inputs: tf.NamedTensorInfoMap): NativeInputs {
  const entries = Object.entries(inputs) as Array<[string, tf.TensorInfo]>;
  return Object.fromEntries(entries.map(([name, info]) => [name, nativeOf(backend, info)]));
}
