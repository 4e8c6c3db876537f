import * as tf from '@tensorflow/tfjs-core';
import {installKernels as installForCpu} from './cpu';
import {warnOfFailure} from './replacement';
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
 * Registers the kernels for the current backend, if there are any for it; what is there already stays. They are in place when
 * this returns, a module that the engine refuses to compile at once when it resolves. It never rejects: a failure is said once.
 */
export async function installKernelsForBackend(): Promise<void> {
  const name = tf.getBackend();
  try {
    await installers[name]?.();
  } catch (error) {
    warnOfFailure(name, tf.backend(), error);
  }
}
