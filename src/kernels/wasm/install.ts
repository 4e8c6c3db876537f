import * as tf from '@tensorflow/tfjs-core';
import {createBatchMatMul} from './batch_mat_mul';
import {conv2DBackpropFilter} from './conv2d_backprop_filter';
import {createFusedMatMul} from './fused_mat_mul';
import {maxPoolGrad} from './max_pool_grad';
import {unsortedSegmentSum} from './unsorted_segment_sum';

/**
 * How each installed kernel is made from the one that it replaces (undefined where the backend has
 * none).
 */
const KERNELS: ReadonlyArray<[name: string, create: (stock: never) => unknown]> = [
  [tf.BatchMatMul, createBatchMatMul],
  [tf._FusedMatMul, createFusedMatMul],
  [tf.UnsortedSegmentSum, () => unsortedSegmentSum],
  [tf.Conv2DBackpropFilter, () => conv2DBackpropFilter],
  [tf.MaxPoolGrad, () => maxPoolGrad],
];

/** While installed: what was registered under each kernel name before. */
let replaced: Map<string, tf.KernelConfig | undefined> | undefined;

/**
 * Registers for the wasm backend: faster matrix products, the gradients of Embedding and
 * convolution that it lacks, and a gradient of max pooling that is right where all inputs are
 * negative.
 *
 * Call it once after `import '@tensorflow/tfjs-backend-wasm'`, before or after
 * `tf.setBackend('wasm')`; further calls do nothing. Other backends are not touched.
 *
 * @throws if the wasm backend is not registered.
 */
export function installKernels(): void {
  if (replaced) return;
  if (!tf.findBackendFactory('wasm')) {
    throw new Error(
      'installKernels: the wasm backend is not registered; ' +
        "import '@tensorflow/tfjs-backend-wasm' first",
    );
  }
  replaced = new Map();
  for (const [name, create] of KERNELS) {
    const stock = tf.getKernel(name, 'wasm') as tf.KernelConfig | undefined;
    replaced.set(name, stock);
    const kernelFunc = create(stock?.kernelFunc as never) as tf.KernelFunc;
    // The stock setupFunc stays: the backend calls it at its start, and the stock kernel needs it.
    register(name, {...stock, kernelName: name, backendName: 'wasm', kernelFunc});
  }
}

/**
 * Registers the stock kernels again, as they were before `installKernels`; does nothing if those
 * are in place.
 */
export function uninstallKernels(): void {
  replaced?.forEach((stock, name) => register(name, stock));
  replaced = undefined;
}

/** Puts `config` in place of whatever is registered for the wasm backend under `name`. */
function register(name: string, config: tf.KernelConfig | undefined): void {
  if (tf.getKernel(name, 'wasm')) tf.unregisterKernel(name, 'wasm');
  if (config) tf.registerKernel(config);
}
