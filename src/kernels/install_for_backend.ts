import * as tf from '@tensorflow/tfjs-core';
import {installKernels as installForCpu} from './cpu';
import {installKernels as installForTensorflow} from './tensorflow';
import {installKernels as installForWasm} from './wasm';
import {installKernels as installForWebgpu} from './webgpu';

const installers: Readonly<Record<string, () => Promise<void>>> = {
  cpu: installForCpu,
  tensorflow: installForTensorflow,
  wasm: installForWasm,
  webgpu: installForWebgpu,
};

/**
 * Registers the kernels for the current backend, if there are any for it; what is there already stays. The composed kernels
 * are in place when this returns, a module that has to be compiled first when it resolves.
 */
export async function installKernelsForBackend(): Promise<void> {
  // Without its module a backend is slower, and no less right.
  await installers[tf.getBackend()]?.().catch(() => undefined);
}
