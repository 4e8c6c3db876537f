import * as tf from '@tensorflow/tfjs-core';
import {
  OwLoreAdam,
  OwLoreAddRows,
  OwLoreCountAbove,
  OwLoreMagnitudeSums,
  OwLoreOrthonormalize,
  OwLorePackBfloat16,
  OwLoreProject,
  OwLoreUnpackBfloat16,
} from '../kernel_names';
import {OwLoreUnpackRows, OwLoreUnpackWindow} from '../llama/kernel_names';
import {replaceKernels, type KernelMaker} from '../replacement';
import {adam} from './adam';
import {countAbove, magnitudeSums} from './magnitudes';
import {orthonormalize} from './orthonormalize';
import {packBfloat16} from './pack_bfloat16';
import {project} from './project';
import {unpackBfloat16, unpackRows, unpackWindow} from './unpack_bfloat16';
import {addRows, unsortedSegmentSum} from './unsorted_segment_sum';

const KERNELS = {
  [OwLoreProject]: project,
  [OwLoreAdam]: adam,
  [OwLoreOrthonormalize]: orthonormalize,
  [OwLoreMagnitudeSums]: magnitudeSums,
  [OwLoreCountAbove]: countAbove,
  [OwLorePackBfloat16]: packBfloat16,
  [OwLoreUnpackBfloat16]: unpackBfloat16,
  [OwLoreUnpackWindow]: unpackWindow,
  [OwLoreUnpackRows]: unpackRows,
  [OwLoreAddRows]: addRows,
  [tf.UnsortedSegmentSum]: unsortedSegmentSum,
};

const MAKERS: Readonly<Record<string, KernelMaker>> = Object.fromEntries(
  Object.entries(KERNELS).map(([name, kernel]) => [
    name,
    // Each kernel has its own types of inputs and attributes; the registry has none.
    () => kernel as unknown as tf.KernelFunc,
  ]),
);

/** Kernels are registered for the whole process. */
let putBack: (() => void) | undefined;

/**
 * Registers WGSL kernels for the webgpu backend, for the optimizer and the outlier score: the projection of a gradient, a step of
 * Adam with the product that takes it back to the matrix's own space, the orthonormalisation of a basis, the count of outliers,
 * and the conversion between float32 and bfloat16. With them a projected update takes four dispatches. One kernel of tfjs is replaced: UnsortedSegmentSum, the gradient of
 * an embedding, which adds in any order and so rounds in another way each time; here it adds in order. None reads anything back
 * from the device.
 *
 * Call it once after `import '@tensorflow/tfjs-backend-webgpu'`, before or after `tf.setBackend('webgpu')`; further calls
 * change nothing. Other backends are not touched.
 *
 * @returns a promise that is already resolved: the kernels are in place when the call returns.
 * @throws if the webgpu backend is not registered.
 */
export function installKernels(): Promise<void> {
  if (!tf.findBackendFactory('webgpu')) {
    throw new Error(
      'installKernels: the webgpu backend is not registered; ' +
        "import '@tensorflow/tfjs-backend-webgpu' first, where navigator.gpu exists",
    );
  }
  putBack ??= replaceKernels('webgpu', MAKERS);
  return Promise.resolve();
}

/** Takes the kernels out again; does nothing if they are not there. */
export function uninstallKernels(): void {
  putBack?.();
  putBack = undefined;
}
