import * as tf from '@tensorflow/tfjs-core';
import {
  OwLoreAdam,
  OwLoreLeftSingularVectors,
  OwLoreOrthonormalize,
  OwLoreSquaredNorm,
} from '../kernel_names';
import {
  OwLoreAttention,
  OwLoreAttentionGrad,
  OwLoreRMSNorm,
  OwLoreRMSNormGrad,
  OwLoreSwiGLU,
  OwLoreSwiGLUGrad,
} from '../llama_kernel_names';
import {replaceKernels} from '../replacement';
import {adam} from './adam';
import {attention, attentionGrad} from './attention';
import {leftSingularVectors, orthonormalize} from './linear_algebra';
import {createBatchMatMul} from './mat_mul';
import {asKernelFunc} from './native_ops';
import {rmsNorm, rmsNormGrad} from './rms_norm';
import {squaredNorm} from './squared_norm';
import {swiglu, swigluGrad} from './swiglu';

let putBack: (() => void) | undefined;

/**
 * Registers for the backend of tfjs-node (and tfjs-node-gpu) kernels made of TensorFlow's own ops: Adam in place and in one
 * pass, products of two matrices, the ops of LLaMA-style models, QR for the orthonormal basis and the singular value
 * decomposition for `basis: 'svd'`. Further calls change nothing; other backends are not touched.
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
    [tf.BatchMatMul]: (stock) => createBatchMatMul(stock!.kernelFunc),
    // It says which inputs and attributes it has; the registry does not ask.
    [OwLoreAdam]: () => adam as unknown as tf.KernelFunc,
    [OwLoreSquaredNorm]: () => asKernelFunc(squaredNorm),
    [OwLoreOrthonormalize]: () => asKernelFunc(orthonormalize),
    [OwLoreLeftSingularVectors]: () => asKernelFunc(leftSingularVectors),
    [OwLoreRMSNorm]: () => asKernelFunc(rmsNorm),
    [OwLoreRMSNormGrad]: () => asKernelFunc(rmsNormGrad),
    [OwLoreAttention]: () => asKernelFunc(attention),
    [OwLoreAttentionGrad]: () => asKernelFunc(attentionGrad),
    [OwLoreSwiGLU]: () => asKernelFunc(swiglu),
    [OwLoreSwiGLUGrad]: () => asKernelFunc(swigluGrad),
  });
  return Promise.resolve();
}

/** Takes the kernels out again; does nothing if they are not there. */
export function uninstallKernels(): void {
  putBack?.();
  putBack = undefined;
}
