import * as tf from '@tensorflow/tfjs-core';

/**
 * Whether a tensor's values can be read within a step on the current backend. webgpu cannot do it at all in Node, and on
 * webgl it would stall the pipeline.
 */
export function readsSynchronously(): boolean {
  return !['webgpu', 'webgl'].includes(tf.getBackend());
}
