import * as tf from '@tensorflow/tfjs-core';
import {KernelGraphs} from './graphs';
import {install} from './install';

export {uninstallKernels} from './install';

/**
 * Registers kernels made of TensorFlow's own ops for the backend of tfjs-node (and tfjs-node-gpu): Adam in place (of
 * small weights and of projected matrices of up to 2^20 numbers by one graph), new bases side by side, bfloat16 to
 * float32, products of two matrices, the ops of LLaMA-style models, QR for the orthonormal basis and the singular value
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
  install(new KernelGraphs());
  return Promise.resolve();
}
