import * as tf from '@tensorflow/tfjs-core';
import {OwLoreLeftSingularVectors, OwLoreOrthonormalize} from '../kernel_names';
import {replaceKernels} from '../replacement';
import {leftSingularVectors, orthonormalize} from './linear_algebra';

let putBack: (() => void) | undefined;

/**
 * Registers for the backend of tfjs-node (and tfjs-node-gpu) TensorFlow's own QR decomposition, for the orthonormal basis,
 * and its singular value decomposition, for `basis: 'svd'`. Further calls change nothing; other backends are not touched.
 *
 * @returns a promise that is resolved already; the kernels are there when the call returns.
 * @throws if the tensorflow backend is not registered.
 */
export function installKernels(): Promise<void> {
  if (!tf.findBackendFactory('tensorflow')) {
    throw new Error(
      "installKernels: the tensorflow backend is not registered; import '@tensorflow/tfjs-node' or " +
        "'@tensorflow/tfjs-node-gpu' first",
    );
  }
  putBack ??= replaceKernels('tensorflow', {
    [OwLoreOrthonormalize]: () => orthonormalize,
    [OwLoreLeftSingularVectors]: () => leftSingularVectors,
  });
  return Promise.resolve();
}

/** Takes the kernels out again; does nothing if they are not there. */
export function uninstallKernels(): void {
  putBack?.();
  putBack = undefined;
}
