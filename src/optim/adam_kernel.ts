import * as tf from '@tensorflow/tfjs-core';
import {OwLoreAdam, type OwLoreAdamAttrs} from '../kernels/kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import type {Moments} from './adam';
import {asMatrix} from './projector';
import {replace, type StepSettings} from './step_settings';
import type {Subspace} from './weights';

/**
 * Moves the moments and the weights by one gradient, which it disposes of, if the backend has a kernel that does both.
 *
 * @returns false if it has none, and nothing was done.
 */
export function moveAtOnce(
  variable: tf.Variable,
  gradient: tf.Tensor,
  moments: Moments,
  subspace: Subspace | null,
  {beta1, beta2, rate, epsilon, decay}: Omit<OwLoreAdamAttrs, 'side'>,
  {clip, mask}: StepSettings,
): boolean {
  if (mask || !hasKernel(OwLoreAdam)) return false;
  tf.tidy(() => {
    // A tensor of another shape would share the variable's data, and none of them be changed in place.
    const isMatrix = !subspace || variable.rank === 2;
    const matrix = isMatrix ? variable : asMatrix(variable, subspace.projection);
    const [next, first, second] = runKernel(
      OwLoreAdam,
      {variable: matrix, ...moments, gradient, clip, basis: subspace?.basis},
      {beta1, beta2, rate, epsilon, decay, side: subspace?.projection.side},
    )!;
    variable.assign(isMatrix ? next! : tf.reshape(next!, variable.shape));
    moments.first = replace(moments.first, first!);
    moments.second = replace(moments.second, second!);
  });
  gradient.dispose();
  return true;
}
