import type * as tf from '@tensorflow/tfjs-core';
import {findKernel, replaceKernel} from '../tfjs/kernels';
import {guarded} from './contracts';

/** Makes a kernel from the one that it replaces; undefined where the backend has none. */
export type KernelMaker = (stock: tf.KernelConfig | undefined) => tf.KernelFunc;

/**
 * Registers kernels for a backend, in place of those registered under the same names. Each checks its arguments.
 *
 * @returns a function that registers the earlier kernels again.
 */
export function replaceKernels(
  backendName: string,
  makers: Readonly<Record<string, KernelMaker>>,
): () => void {
  const stock = Object.keys(makers).map((kernelName) => {
    const config = findKernel(kernelName, backendName);
    replaceKernel(backendName, kernelName, {
      ...config,
      kernelName,
      backendName,
      kernelFunc: guarded(kernelName, backendName, makers[kernelName]!(config)),
    });
    return [kernelName, config] as const;
  });
  return () =>
    stock.forEach(([kernelName, config]) => replaceKernel(backendName, kernelName, config));
}
