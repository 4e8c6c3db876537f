import type * as tf from '@tensorflow/tfjs-core';
import {findKernel, replaceKernel} from '../tfjs/kernels';
import {guarded} from './contracts';

/** Makes a kernel from the one that it replaces; undefined where the backend has none. */
export type KernelMaker = (stock: tf.KernelConfig | undefined) => tf.KernelFunc;

/**
 * Registers kernels for a backend, in place of those registered under the same names. Each checks its arguments.
 *
 * @param setUp Makes what tfjs calls for a kernel when a backend becomes the current one, from the kernel that is replaced; by
 *   default the set-up of that kernel.
 * @returns a function that registers the earlier kernels again.
 */
export function replaceKernels(
  backendName: string,
  makers: Readonly<Record<string, KernelMaker>>,
  setUp = (stock: tf.KernelConfig | undefined) => stock?.setupFunc,
): () => void {
  const stock = Object.keys(makers).map((kernelName) => {
    const config = findKernel(kernelName, backendName);
    replaceKernel(backendName, kernelName, {
      ...config,
      kernelName,
      backendName,
      kernelFunc: guarded(kernelName, backendName, makers[kernelName]!(config)),
      setupFunc: setUp(config),
    });
    return [kernelName, config] as const;
  });
  return () =>
    stock.forEach(([kernelName, config]) => replaceKernel(backendName, kernelName, config));
}
