import * as tf from '@tensorflow/tfjs-core';
import {kernelModules} from './kernel_modules';

/** What later runs of this library's kernels for the current backend depend on, as plain JSON; null where they depend on nothing. */
export function kernelHistory(): object | null {
  return kernelModules.get(tf.getBackend())?.loaded?.kernelHistory?.() ?? null;
}

/**
 * Lets the kernels go on from such a history of the same backend, in place of their own.
 *
 * @returns whether they will compute as where the history comes from, to the last bit.
 */
export function restoreKernelHistory(history: object | null): boolean {
  return kernelModules.get(tf.getBackend())?.loaded?.restoreKernelHistory?.(history) ?? true;
}
