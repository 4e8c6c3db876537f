import * as tf from '@tensorflow/tfjs-core';
import {
  OwLoreAccumulate,
  OwLoreAdam,
  OwLoreAddRows,
  OwLoreLeftSingularVectors,
  OwLoreNearlyOrthonormalize,
  OwLoreOrthonormalize,
  OwLoreRefresh,
  OwLoreSquaredNorm,
  OwLoreUnpackBfloat16,
} from '../kernel_names';
import {OwLoreUnpackRows, OwLoreUnpackWindow} from '../llama/kernel_names';
import {replaceKernels} from '../replacement';
import {accumulate} from './accumulate';
import {createAdam} from './adam';
import {addRows} from './add_rows';
import type {KernelGraphs} from './graphs';
import {asKernelFunc} from './kernel';
import {
  createBatchMatMul,
  leftSingularVectors,
  nearlyOrthonormalize,
  orthonormalize,
  squaredNorm,
} from './linear_algebra';
import {llamaKernels} from './llama_kernels';
import type {NodeBackend} from './native_ops';
import {createRefresh} from './refresh';
import {unpackBfloat16, unpackRows, unpackWindow} from './unpack_bfloat16';

/** Kernels are registered for the whole process. */
let installed: {graphs: KernelGraphs; putBack: () => void} | undefined;

/** Registers the kernels, some of them run by `graphs`; does nothing if they are there. */
export function install(graphs: KernelGraphs): void {
  if (installed) return;
  const putBack = replaceKernels('tensorflow', {
    [tf.BatchMatMul]: (stock) => createBatchMatMul(stock!.kernelFunc, graphs),
    [OwLoreAdam]: () => createAdam(graphs),
    // The registry has no types of inputs and attributes.
    [OwLoreAccumulate]: () => accumulate as unknown as tf.KernelFunc,
    [OwLoreAddRows]: () => addRows as unknown as tf.KernelFunc,
    [OwLoreRefresh]: () => createRefresh(graphs),
    [OwLoreSquaredNorm]: () => asKernelFunc(squaredNorm),
    [OwLoreOrthonormalize]: () => asKernelFunc(orthonormalize),
    [OwLoreNearlyOrthonormalize]: () => asKernelFunc(nearlyOrthonormalize),
    [OwLoreLeftSingularVectors]: () => asKernelFunc(leftSingularVectors),
    [OwLoreUnpackBfloat16]: () => asKernelFunc(unpackBfloat16),
    [OwLoreUnpackWindow]: () => asKernelFunc(unpackWindow),
    [OwLoreUnpackRows]: () => asKernelFunc(unpackRows),
    ...llamaKernels(graphs),
  });
  installed = {graphs, putBack};
}

/** Takes the kernels out again; does nothing if they are not there. */
export function uninstallKernels(): void {
  installed?.putBack();
  installed?.graphs.dispose();
  installed = undefined;
}

/**
 * How often the kernels ran, which says whether they run op by op or as graphs; null if they are not there.
 */
export function kernelHistory(): object | null {
  // The backend's own, of which tfjs shows a part.
  return installed?.graphs.history(tf.backend() as unknown as NodeBackend) ?? null;
}

/**
 * Goes on from such a history, in place of that of this process; tensorflow must be the current backend.
 *
 * @returns whether the kernels will run as where the history comes from.
 */
export function restoreKernelHistory(history: object | null): boolean {
  if (!installed || !history) return !installed && !history;
  // The backend's own, of which tfjs shows a part.
  return installed.graphs.restore(tf.backend() as unknown as NodeBackend, history);
}
