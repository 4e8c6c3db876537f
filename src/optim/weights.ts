import * as tf from '@tensorflow/tfjs-core';
import {OwLoreProjectedStep, OwLoreStep} from '../kernels/kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import {adamStep, type Moments, type StepSize} from './adam';
import {asMatrix, projectBack, type Projection} from './projector';
import {allowed, type StepSettings} from './step_settings';

/** The subspace that a projected variable's moments are in. */
export interface Subspace {
  projection: Projection;
  basis: tf.Tensor2D;
}

/**
 * w ← `decay`·w − Adam's step, or for a projected variable w ← `decay`·w − P·(Adam's step) (GaLore, Alg. 2). Beyond variable
 * and moments there are at most two buffers of the variable's size at once, three without a subspace.
 */
export function moveWeights(
  variable: tf.Variable,
  moments: Moments,
  subspace: Subspace | null,
  size: StepSize,
  decay: number,
  step: StepSettings,
): void {
  const next = fusedStep(variable, moments, subspace, size, decay, step);
  if (next) {
    variable.assign(next);
    return;
  }
  if (decay !== 1) {
    tf.tidy(() => {
      variable.assign(tf.mul(variable, allowed(step, tf.scalar(decay), tf.scalar(1))));
    });
  }
  tf.tidy(() => {
    const next = tf.tidy(() => tf.sub(variable, change(variable, moments, subspace, size)));
    variable.assign(allowed(step, next, variable));
  });
}

/** The moved weights by a kernel; null if the backend has none. */
function fusedStep(
  variable: tf.Variable,
  moments: Moments,
  subspace: Subspace | null,
  size: StepSize,
  decay: number,
  {mask}: StepSettings,
): tf.Tensor | null {
  if (!subspace) {
    return runKernel(OwLoreStep, {variable, ...moments, mask}, {...size, decay})?.[0] ?? null;
  }
  if (!hasKernel(OwLoreProjectedStep)) return null;
  const {projection, basis} = subspace;
  const {side} = projection;
  return tf.tidy(() => {
    const inputs = {variable: asMatrix(variable, projection), basis, ...moments, mask};
    const [next] = runKernel(OwLoreProjectedStep, inputs, {side, ...size, decay})!;
    return tf.reshape(next!, variable.shape);
  });
}

/** What is to be taken from the weights, in their shape. */
function change(
  {shape}: tf.Variable,
  moments: Moments,
  subspace: Subspace | null,
  size: StepSize,
): tf.Tensor {
  const step = adamStep(moments, size);
  if (!subspace) return step;
  const {projection, basis} = subspace;
  return tf.reshape(projectBack(step as tf.Tensor2D, basis, projection.side), shape);
}
