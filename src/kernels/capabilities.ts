/** What the current backend can do, and what it does well. */
import * as tf from '@tensorflow/tfjs-core';

/** Whether a tensor's values can be read within a step on the current backend at all; on webgpu they cannot. */
export function canReadSynchronously(): boolean {
  return tf.getBackend() !== 'webgpu';
}

/** Whether they can be read without waiting for all work that the device still has to do, as one must on webgl. */
export function readsSynchronously(): boolean {
  return canReadSynchronously() && tf.getBackend() !== 'webgl';
}

/**
 * Whether the current backend holds float32 tensors as float16, as webgl does on some phones. (In tfjs 4.22 its
 * `floatPrecision()` is the wrong way round: 16 where it renders float32.)
 */
export function computesInFloat16(): boolean {
  return tf.getBackend() === 'webgl' && !tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED');
}

/** Whether the current backend computes the values of tensors; that of an estimate knows their shapes alone. */
export function computesValues(): boolean {
  return !(tf.backend() as {computesNoValues?: true}).computesNoValues;
}

/** The smallest normal float32. Zeros divided by it stay zeros. */
export const SMALLEST_NORMAL = 2 ** -126;

/** The smallest normal number of the float type in which the current backend computes. */
export function smallestNormal(): number {
  return computesInFloat16() ? 2 ** -14 : SMALLEST_NORMAL;
}

/** The most numbers of weights that tensorflow moves by one graph. */
export const UPDATED_TOGETHER = 2 ** 20;

/** The most numbers of a weight without projection that is moved by a graph; in place, a larger one takes less time. */
export const SMALL_WEIGHT = 2 ** 15;

/**
 * The most numbers that the weights of one call of `OwLoreAdam` may have together; 0: one weight a call. On TensorFlow starting a graph takes
 * longer than any op in it, so that fewer calls are faster; elsewhere nothing is gained, and old and new weights would be in memory
 * at the same time.
 */
export function maxUpdatedTogether(): number {
  return tf.getBackend() === 'tensorflow' ? UPDATED_TOGETHER : 0;
}

/**
 * Throws if the current backend can tell that it has no memory for tensors of so many numbers at once. Only wasm can, with this
 * library's kernels.
 */
export function checkRoom(sizes: readonly number[]): void {
  if (tf.getBackend() !== 'wasm') return;
  // By its name it is wasm's, whose methods tfjs's type of all backends does not have.
  const backend = tf.backend() as unknown as WasmHeap;
  const made: object[] = [];
  try {
    for (const size of sizes) made.push(backend.makeOutput([size], 'float32').dataId);
  } finally {
    made.forEach((dataId) => backend.disposeData(dataId));
  }
}

/** Memory of tfjs's wasm backend, whose contents are not set. */
interface WasmHeap {
  makeOutput(shape: number[], dtype: 'float32'): {dataId: object};
  disposeData(dataId: object): boolean;
}
