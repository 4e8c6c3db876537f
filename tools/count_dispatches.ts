import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';

/** How many programs `f` dispatches on the webgpu backend, which is the current one. */
export function countDispatches(f: () => void): number {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- of tfjs's own making
  const backend = tf.backend() as WebGPUBackend;
  const {runWebGPUProgram} = backend;
  let count = 0;
  backend.runWebGPUProgram = function (...args) {
    count++;
    return runWebGPUProgram.apply(this, args);
  };
  try {
    f();
  } finally {
    backend.runWebGPUProgram = runWebGPUProgram;
  }
  return count;
}
