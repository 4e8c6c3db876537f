import * as tf from '@tensorflow/tfjs-core';
import {OwLoreUnpackBfloat16} from '../kernel_names';
import {OwLoreUnpackRows, OwLoreUnpackWindow} from '../llama_kernel_names';
import {replaceKernels} from '../replacement';
import {unpackBfloat16, unpackRows, unpackWindow} from './unpack_bfloat16';
import {unsortedSegmentSum} from './unsorted_segment_sum';

let restore: (() => void) | undefined;

/**
 * Registers for the cpu backend a fast gradient of Embedding, and the kernels that widen bfloat16. Further calls change nothing;
 * other backends are not touched.
 *
 * @returns a promise that is already resolved: the kernels are in place when the call returns.
 */
export function installKernels(): Promise<void> {
  restore ??= replaceKernels('cpu', {
    [tf.UnsortedSegmentSum]: () => unsortedSegmentSum,
    [OwLoreUnpackBfloat16]: () => unpackBfloat16,
    [OwLoreUnpackWindow]: () => unpackWindow,
    [OwLoreUnpackRows]: () => unpackRows,
  });
  return Promise.resolve();
}

/** Registers the stock kernel again. */
export function uninstallKernels(): void {
  restore?.();
  restore = undefined;
}
