import * as tf from '@tensorflow/tfjs-core';
import {OwLoreAdam, OwLoreProject, OwLoreSquaredNorm, OwLoreUnpackBfloat16} from '../kernel_names';
import {OwLoreUnpackRows, OwLoreUnpackWindow} from '../llama/kernel_names';
import {replaceKernels, type KernelMaker} from '../replacement';
import {adam} from './adam';
import {project} from './project';
import {squaredNorm} from './squared_norm';
import {unpackBfloat16, unpackRows, unpackWindow} from './unpack_bfloat16';
import {unsortedSegmentSum} from './unsorted_segment_sum';

const KERNELS = {
  [tf.UnsortedSegmentSum]: unsortedSegmentSum,
  [OwLoreAdam]: adam,
  [OwLoreProject]: project,
  [OwLoreSquaredNorm]: squaredNorm,
  [OwLoreUnpackBfloat16]: unpackBfloat16,
  [OwLoreUnpackWindow]: unpackWindow,
  [OwLoreUnpackRows]: unpackRows,
};

const MAKERS: Readonly<Record<string, KernelMaker>> = Object.fromEntries(
  Object.entries(KERNELS).map(([name, kernel]) => [
    name,
    // Each kernel has its own types of inputs and attributes; the registry has none.
    () => kernel as unknown as tf.KernelFunc,
  ]),
);

/** Kernels are registered for the whole process. */
let restore: (() => void) | undefined;

/**
 * Registers for the cpu backend a fast gradient of Embedding, the optimizer's updates, and the kernels that widen bfloat16. Further calls change nothing;
 * other backends are not touched.
 *
 * @returns a promise that is already resolved: the kernels are in place when the call returns.
 */
export function installKernels(): Promise<void> {
  restore ??= replaceKernels('cpu', MAKERS);
  return Promise.resolve();
}

/** Registers the stock kernel again. */
export function uninstallKernels(): void {
  restore?.();
  restore = undefined;
}
