/** What the current backend can do, and what it does well. */
import * as tf from '@tensorflow/tfjs-core';

/** Whether a tensor's values can be read within a step on the current backend at all; webgpu cannot. */
export function canReadSynchronously(): boolean {
  return tf.getBackend() !== 'webgpu';
}

/** Whether they can without a wait for all that the device still has to do, as there is on webgl. */
export function readsSynchronously(): boolean {
  return canReadSynchronously() && tf.getBackend() !== 'webgl';
}

/**
 * Whether the current backend holds float32 tensors as float16, as webgl does on some phones. (Its `floatPrecision()` has it
 * the wrong way round in tfjs 4.22: 16 where it renders float32.)
 */
export function computesInFloat16(): boolean {
  return tf.getBackend() === 'webgl' && !tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED');
}

/**
 * How many numbers the weights may have that one call of `OwLoreAdam` updates in their subspaces. TensorFlow takes longer to
 * start a graph than to run any op in it; elsewhere nothing is gained, and old and new weights are there side by side.
 */
export function mostUpdatedTogether(): number {
  return tf.getBackend() === 'tensorflow' ? 2 ** 20 : 0;
}
