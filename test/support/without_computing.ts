import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';

/**
 * For tests that count bytes and read no value: on webgpu all tensors are made and nothing is computed. What is not waited for
 * would be computed during the next tests.
 */
export async function withoutComputing(test: () => void): Promise<void> {
  if (tf.getBackend() !== 'webgpu') {
    test();
    return;
  }
  tf.env().set('WEBGPU_ENGINE_COMPILE_ONLY', true);
  try {
    test();
  } finally {
    tf.env().set('WEBGPU_ENGINE_COMPILE_ONLY', false);
    await (tf.backend() as WebGPUBackend).checkCompileCompletionAsync();
  }
}
