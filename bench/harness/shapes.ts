/** Trainings on a backend that knows shapes alone, with the kernels that tfjs has itself. */
import * as tf from '@tensorflow/tfjs-core';
import type {DescribedBackend} from '../../src/kernels/kernel_outputs';
import {ShapeBackend} from '../../src/memory/estimate/shape_backend';
import {onOwnEngine} from '../../src/tfjs/engine';
import {withKernels} from '../../src/tfjs/kernels';

/**
 * Runs `body` where no value is computed, and tensors are made and freed as on the backend of that name with tfjs's own kernels. All
 * tensors that it makes are gone afterwards.
 */
export function onShapes<T>(name: DescribedBackend, body: () => T): T {
  const backend = new ShapeBackend(name);
  const kernels = backend.kernels().flatMap((kernel): tf.KernelConfig[] => {
    const {kernelName} = kernel;
    if (kernelName.startsWith('OwLore')) return [];
    // wasm's copy; those that this library puts in their place return a view
    const copies = name === 'wasm' && (kernelName === tf.Identity || kernelName === tf.Cast);
    return [copies ? {...kernel, kernelFunc: (call) => copy(backend, call)} : kernel];
  });
  return withKernels(name, kernels, () => onOwnEngine(name, backend, body));
}

function copy(
  backend: ShapeBackend,
  {inputs: {x}, attrs}: Parameters<tf.KernelFunc>[0],
): tf.TensorInfo {
  const {dtype = x!.dtype} = (attrs ?? {}) as {dtype?: tf.DataType};
  return backend.makeOutput(x!.shape, dtype);
}
