import * as tf from '@tensorflow/tfjs-core';
import {replaceKernels} from '../replacement';
import {unsortedSegmentSum} from './unsorted_segment_sum';

let restore: (() => void) | undefined;

/**
 * Registers for the cpu backend a gradient of Embedding that is quick. Further calls change nothing; other backends are not
 * touched.
 *
 * @returns a promise that is resolved, as the kernels are in place at once.
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
