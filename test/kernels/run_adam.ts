import type * as tf from '@tensorflow/tfjs-core';
import {OwLoreAdam, type OwLoreAdamAttrs, type OwLoreUpdate} from '../../src/kernels/kernel_names';
import {runKernel} from '../../src/kernels/run_kernel';

/** What an update reads, by the names that the kernel's inputs have without their number. */
export type AdamInputs = Record<
  'variable' | 'first' | 'second' | 'gradient',
  tf.Tensor | undefined
> & {
  basis?: tf.Tensor | null | undefined;
};

export type AdamNumbers = Pick<OwLoreAdamAttrs, 'beta1' | 'beta2'> & OwLoreUpdate;

/** Runs OwLoreAdam for one variable. */
export function runAdam(
  inputs: AdamInputs,
  {beta1, beta2, ...update}: AdamNumbers,
  scalars: {clip?: tf.Tensor | null; allFinite?: tf.Tensor} = {},
): tf.Tensor[] {
  const given = {...numbered(inputs, 0), ...scalars};
  return runKernel(OwLoreAdam, given, {beta1, beta2, updates: [update]})!;
}

/** Inputs by the names that they have in update number `i`. */
export function numbered<T>(inputs: Record<string, T>, i: number): Record<string, T> {
  return Object.fromEntries(Object.entries(inputs).map(([name, x]) => [`${name}${i}`, x]));
}
