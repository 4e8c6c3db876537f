import * as tf from '@tensorflow/tfjs-core';
import {OwLoreAdam, OwLoreAdamTogether} from '../kernels/kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import type {AdamOptions} from './adam';
import {asMatrix} from './projector';
import {replace, type StepSettings} from './step_settings';
import type {ReadyVariable} from './update';

/** Numbers in the weights that are moved together: their old and new values exist side by side. */
const MOST_TOGETHER = 2 ** 20;

/**
 * Moves moments and weights by a gradient each, which it disposes of, if the backend has a kernel that does both.
 *
 * @returns the variables for which there is none; nothing was done for them.
 */
export function moveAtOnce(
  variables: readonly ReadyVariable[],
  rule: AdamOptions,
  step: StepSettings,
): readonly ReadyVariable[] {
  if (step.mask || !hasKernel(OwLoreAdam)) return variables;
  const isTogether = ({variable, subspace}: ReadyVariable): boolean =>
    hasKernel(OwLoreAdamTogether) && subspace !== null && variable.rank === 2;
  for (const group of groups(variables.filter(isTogether))) moveTogether(group, rule, step);
  for (const ready of variables) if (!isTogether(ready)) moveOne(ready, rule, step);
  return [];
}

function moveOne(ready: ReadyVariable, {beta1, beta2}: AdamOptions, {clip}: StepSettings): void {
  const {variable, moments, gradient, subspace, size, decay} = ready;
  tf.tidy(() => {
    // A tensor of another shape would share the variable's data, and none of them be changed in place.
    const isMatrix = !subspace || variable.rank === 2;
    const matrix = isMatrix ? variable : asMatrix(variable, subspace.projection);
    const [next, first, second] = runKernel(
      OwLoreAdam,
      {variable: matrix, ...moments, gradient, clip, basis: subspace?.basis},
      {beta1, beta2, ...size, decay, side: subspace?.projection.side},
    )!;
    take(ready, isMatrix ? next! : tf.reshape(next!, variable.shape), first!, second!);
  });
}

function moveTogether(
  group: readonly ReadyVariable[],
  {beta1, beta2}: AdamOptions,
  {clip}: StepSettings,
): void {
  tf.tidy(() => {
    const tensors = group.flatMap(({variable, moments, gradient, subspace}, i) => [
      [`variable${i}`, variable],
      [`first${i}`, moments.first],
      [`second${i}`, moments.second],
      [`gradient${i}`, gradient],
      [`basis${i}`, subspace!.basis],
    ]);
    const updates = group.map(({size, decay, subspace}) => ({
      ...size,
      decay,
      side: subspace!.projection.side,
    }));
    const inputs = {...(Object.fromEntries(tensors) as tf.NamedTensorMap), clip};
    const results = runKernel(OwLoreAdamTogether, inputs, {beta1, beta2, updates})!;
    group.forEach((ready, i) => {
      const [next, first, second] = results.slice(3 * i, 3 * i + 3);
      take(ready, next!, first!, second!);
    });
  });
}

/** Puts a kernel's results in their places. */
function take(
  {variable, moments, gradient}: ReadyVariable,
  next: tf.Tensor,
  first: tf.Tensor,
  second: tf.Tensor,
): void {
  variable.assign(next);
  moments.first = replace(moments.first, first);
  moments.second = replace(moments.second, second);
  gradient.dispose();
}

/** Some variables each, as many as may be moved together. */
function groups(variables: readonly ReadyVariable[]): ReadyVariable[][] {
  const all: ReadyVariable[][] = [];
  let size = Infinity;
  for (const ready of variables) {
    size += ready.variable.size;
    if (size > MOST_TOGETHER) {
      all.push([]);
      size = ready.variable.size;
    }
    all.at(-1)!.push(ready);
  }
  return all;
}
