import * as tf from '@tensorflow/tfjs-core';
import {unsortedSegmentSum} from '../../src/kernels/wasm/unsorted_segment_sum';

/**
 * Makes a training possible with the wasm backend's own kernels: registers the one that the gradient of an embedding lacks,
 * and nothing else.
 */
export function supplyMissingKernel(): void {
  tf.registerKernel({
    kernelName: tf.UnsortedSegmentSum,
    backendName: 'wasm',
    // It takes the backend as what it is, where tfjs gives an `unknown`.
    kernelFunc: unsortedSegmentSum as unknown as tf.KernelFunc,
  });
}

/** Bytes of the backend's memory. It never shrinks: what it is now is the most it has been. */
export function heapBytes(): number {
  const {wasm} = tf.backend() as tf.KernelBackend & {wasm: {HEAPU8: Uint8Array}};
  return wasm.HEAPU8.buffer.byteLength;
}
