import * as tf from '@tensorflow/tfjs-core';
import {replaceKernels} from '../replacement';
import {unsortedSegmentSum} from './unsorted_segment_sum';

let restore: (() => void) | undefined;

/**
 * Registers a fast gradient of Embedding for the cpu backend. Further calls change nothing; other backends are not touched.
 *
 * @returns a promise that is already resolved: the kernels are in place when the call returns.
 */
export function installKernels(): Promise<void> {
  restore ??= replaceKernels('cpu', {[tf.UnsortedSegmentSum]: () => unsortedSegmentSum});
  return Promise.resolve();
}

/** Registers the stock kernel again. */
export function uninstallKernels(): void {
  restore?.();
  restore = undefined;
}
