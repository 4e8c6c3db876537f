import * as tf from '@tensorflow/tfjs-core';
import {
  OwLoreAdam,
  OwLoreLeftSingularVectors,
  OwLoreNearlyOrthonormalize,
  OwLoreOrthonormalize,
  OwLoreSquaredNorm,
} from '../kernel_names';
import {replaceKernels} from '../replacement';
import {createAdam} from './adam';
import {
  createBatchMatMul,
  leftSingularVectors,
  nearlyOrthonormalize,
  orthonormalize,
  squaredNorm,
} from './linear_algebra';
import {llamaKernels} from './llama_kernels';
import {KernelGraphs} from './graphs';
import {asKernelFunc} from './kernel';

let putBack: (() => void) | undefined;

/**
 * Registers kernels made of TensorFlow's own ops for the backend of tfjs-node (and tfjs-node-gpu): Adam in place and in one
 * pass, products of two matrices, the ops of LLaMA-style models, QR for the orthonormal basis and the singular value
 * decomposition for `basis: 'svd'`. Further calls change nothing; other backends are not touched.
 *
 * @returns a promise that is already resolved: the kernels are in place when the call returns.
 * @throws if the tensorflow backend is not registered.
 */
export function installKernels(): Promise<void> {
  if (!tf.findBackendFactory('tensorflow')) {
    throw new Error(
      "installKernels: the tensorflow backend is not registered; import '@tensorflow/tfjs-node' or " +
        "'@tensorflow/tfjs-node-gpu' first",
    );
  }
  if (putBack) return Promise.resolve();
  const graphs = new KernelGraphs();
  const restore = replaceKernels('tensorflow', {
    [tf.BatchMatMul]: (stock) => createBatchMatMul(stock!.kernelFunc),
    [OwLoreAdam]: () => createAdam(graphs),
    [OwLoreSquaredNorm]: () => asKernelFunc(squaredNorm),
    [OwLoreOrthonormalize]: () => asKernelFunc(orthonormalize),
    [OwLoreNearlyOrthonormalize]: () => asKernelFunc(nearlyOrthonormalize),
    [OwLoreLeftSingularVectors]: () => asKernelFunc(leftSingularVectors),
    ...llamaKernels(graphs),
  });
  putBack = () => {
    restore();
    graphs.dispose();
  };
  return Promise.resolve();
}

/** Takes the kernels out again; does nothing if they are not there. */
export function uninstallKernels(): void {
  putBack?.();
  putBack = undefined;
}
