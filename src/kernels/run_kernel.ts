import * as tf from '@tensorflow/tfjs-core';
import {findKernel} from '../tfjs/kernels';

/** Inputs by name; null and undefined are not passed on to the kernel. */
type Inputs = Record<string, tf.Tensor | null | undefined>;

/** Whether the current backend has a kernel of this name. */
export function hasKernel(kernelName: string): boolean {
  return findKernel(kernelName, tf.getBackend()) !== undefined;
}

/**
 * Runs one of this library's own kernels (`kernel_names.ts`) if the current backend has it.
 *
 * @returns The kernel's outputs, or null if the backend does not have it; the caller then composes the same from tfjs's ops.
 */
export function runKernel(
  kernelName: string,
  inputs: Inputs,
  attrs: Record<string, unknown> = {},
): tf.Tensor[] | null {
  if (!hasKernel(kernelName)) return null;
  const named: tf.NamedTensorMap = {};
  for (const name in inputs) {
    const tensor = inputs[name];
    if (tensor != null) named[name] = tensor;
  }
  const outputs: tf.Tensor | tf.Tensor[] = tf
    .engine()
    .runKernel(kernelName, named, attrs as tf.NamedAttrMap);
  return [outputs].flat();
}
