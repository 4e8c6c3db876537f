/** Measures tensor memory to the byte, on any backend. */
import * as tf from '@tensorflow/tfjs-core';
import {watchData} from '../tfjs/engine';
import {findKernel, replaceKernel} from '../tfjs/kernels';
import {HeapSharing} from './heap_sharing';

export interface MemoryMeter {
  /** Bytes of the data buffers alive now. */
  current(): number;
  /** The most bytes that were alive at once since the start or the last `reset()`. */
  peak(): number;
  reset(): void;
  /** The data buffer of a tensor: the same object for all that share it; undefined if it is from before the meter. */
  bufferOf(tensor: tf.Tensor): object | undefined;
  /** Ends the measurement. Of several meters the one that was started last has to be stopped first. */
  stop(): void;
}

/** What a meter can tell while it runs. */
export interface MemoryEvents {
  /** A buffer was made. */
  onAllocate?(buffer: object, bytes: number): void;
  /** A buffer was freed. */
  onFree?(buffer: object, bytes: number): void;
}

/** A data buffer, and how many of the engine's data ids stand for it. */
interface Buffer {
  bytes: number;
  dataIds: number;
}

/**
 * Counts the data buffers that are made from now on, as the engine makes and frees them: tensors that share a buffer
 * (a reshape and its input) count once, where `tf.memory().numBytes` counts each of them. What a kernel allocates and
 * frees inside itself is not seen, and a slice counts as a buffer of its own, although backends make some of them views.
 */
export function startMemoryMeter({onAllocate, onFree}: MemoryEvents = {}): MemoryMeter {
  const bufferOf = new Map<object, Buffer>();
  let [current, peak] = [0, 0];
  const sharing = watchSharing();
  const heap = new HeapSharing<Buffer>();
  const stop = watchData({
    onTensor(tensor) {
      const {dataId} = tensor;
      if (bufferOf.has(dataId)) return;
      const source = sharing.sourceOf(tensor);
      const shared = heap.bufferOf(tensor) ?? (source && bufferOf.get(source));
      if (shared) {
        shared.dataIds++;
        bufferOf.set(dataId, shared);
        return;
      }
      const buffer = {bytes: bytesOf(tensor), dataIds: 1};
      bufferOf.set(dataId, buffer);
      heap.add(tensor, buffer);
      current += buffer.bytes;
      peak = Math.max(peak, current);
      onAllocate?.(buffer, buffer.bytes);
    },
    onFree(dataId) {
      const buffer = bufferOf.get(dataId);
      bufferOf.delete(dataId);
      if (!buffer || --buffer.dataIds > 0) return;
      heap.remove(buffer);
      current -= buffer.bytes;
      onFree?.(buffer, buffer.bytes);
    },
  });

  return {
    current: () => current,
    peak: () => peak,
    reset: () => void (peak = current),
    bufferOf: ({dataId}) => bufferOf.get(dataId),
    stop: () => {
      stop();
      sharing.stop();
    },
  };
}

/** Texts, which have no size of their own, count as nothing. */
function bytesOf({size, dtype}: tf.Tensor): number {
  return dtype === 'string' ? 0 : size * tf.util.bytesPerElement(dtype);
}

/**
 * On the tensorflow backend a reshape, or a cast to the same dtype, makes a new data id over the same buffer. This tells
 * for which tensors that is so.
 */
function watchSharing(): {sourceOf(tensor: tf.Tensor): object | undefined; stop(): void} {
  const backendName = 'tensorflow';
  let source: tf.TensorInfo | null = null;
  const originals = [tf.Reshape, tf.ExpandDims, tf.Cast].flatMap(
    (kernelName) => findKernel(kernelName, backendName) ?? [],
  );
  replaceKernels(
    originals.map(({kernelFunc, ...config}) => ({
      ...config,
      kernelFunc: (call) => {
        source = call.inputs['x'] ?? call.inputs['input'] ?? null;
        try {
          return kernelFunc(call);
        } finally {
          source = null;
        }
      },
    })),
  );
  return {
    sourceOf({size, dtype}) {
      const isShared = source?.dtype === dtype && tf.util.sizeFromShape(source.shape) === size;
      return isShared ? source!.dataId : undefined;
    },
    stop: () => replaceKernels(originals),
  };
}

function replaceKernels(configs: readonly tf.KernelConfig[]): void {
  for (const config of configs) replaceKernel(config.backendName, config.kernelName, config);
}
