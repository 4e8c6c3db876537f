/** Measures tensor memory to the byte, on any backend. */
import * as tf from '@tensorflow/tfjs-core';

export interface MemoryMeter {
  /** Bytes of the data buffers alive now. */
  current(): number;
  /** The most bytes that were alive at once since the start or the last `reset()`. */
  peak(): number;
  reset(): void;
  /** Takes the meter off the engine. */
  stop(): void;
}

/**
 * Counts the data buffers that are made from now on, as the engine makes and frees them: tensors that share a buffer
 * (a reshape and its input) count once, where `tf.memory().numBytes` counts each of them. What a kernel allocates and
 * frees inside itself is not seen.
 */
export function startMemoryMeter(): MemoryMeter {
  const engine = tf.engine();
  const {trackTensor, removeDataId} = engine;
  const bytesOf = new Map<object, number>();
  let [current, peak] = [0, 0];

  engine.trackTensor = (tensor, backend) => {
    trackTensor.call(engine, tensor, backend);
    if (bytesOf.has(tensor.dataId)) return;
    const bytes = tensor.size * tf.util.bytesPerElement(tensor.dtype);
    bytesOf.set(tensor.dataId, bytes);
    current += bytes;
    peak = Math.max(peak, current);
  };
  engine.removeDataId = (dataId, backend) => {
    removeDataId.call(engine, dataId, backend);
    current -= bytesOf.get(dataId) ?? 0;
    bytesOf.delete(dataId);
  };

  return {
    current: () => current,
    peak: () => peak,
    reset: () => void (peak = current),
    stop: () => Object.assign(engine, {trackTensor, removeDataId}),
  };
}
