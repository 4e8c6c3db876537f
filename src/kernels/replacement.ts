import type * as tf from '@tensorflow/tfjs-core';
import {findKernel, replaceKernel} from '../tfjs/kernels';
import {guarded} from './contracts';

/** Makes a kernel from the one that it replaces; undefined where the backend has none. */
export type KernelMaker = (stock: tf.KernelConfig | undefined) => tf.KernelFunc;

/**
 * Registers kernels for a backend in the place of what is registered under their names. Each checks what it is given.
 *
 * @returns puts everything back as it was.
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
