import * as tf from '@tensorflow/tfjs-core';
import {OwLoreMoments} from '../kernels/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import {movingAverage, zeroMoments, type AdamOptions, type Moments} from './adam';
import {rotateMoments, type Side} from './projector';
import type {VariableState} from './state';
import {renew, replace, type StepSettings} from './step_settings';

/** The moments of a variable's state: zeros before its first step. */
export function momentsOf(state: VariableState, shape: number[]): Moments {
  if (!state.moments) {
    const {first, second} = zeroMoments(shape);
    state.moments = {first: tf.keep(first), second: tf.keep(second)};
  }
  return state.moments;
}

/** Moves the moments on by one gradient, which it disposes of. Every statement frees what no later one needs. */
export function moveMoments(
  moments: Moments,
  gradient: tf.Tensor,
  {beta1, beta2}: AdamOptions,
  step: StepSettings,
): void {
  const {clip, mask} = step;
  const [first, second] =
    runKernel(OwLoreMoments, {...moments, gradient, clip, mask}, {beta1, beta2}) ?? [];
  if (first && second) {
    gradient.dispose();
    moments.first = replace(moments.first, first);
    moments.second = replace(moments.second, second);
    return;
  }
  const g = clipped(gradient, step);
  moments.first = renew(moments.first, step, (m) => movingAverage(m, g, beta1));
  const square = tf.square(g);
  g.dispose();
  moments.second = renew(moments.second, step, (v) => movingAverage(v, square, beta2));
  square.dispose();
}

/** The gradient times the clip factor; the one without is disposed. */
function clipped(gradient: tf.Tensor, {clip}: StepSettings): tf.Tensor {
  if (!clip) return gradient;
  const product = tf.mul(gradient, clip);
  gradient.dispose();
  return product;
}

/** Takes a state's moments, if it has any, from its basis to a new one. */
export function carryMoments(
  state: VariableState,
  basis: tf.Tensor2D,
  side: Side,
  rule: AdamOptions & {moments: 'keep' | 'rotate' | 'reset'},
  step: StepSettings,
): void {
  const {moments} = state;
  if (!moments || rule.moments === 'keep') return;
  const {first, second} =
    rule.moments === 'rotate'
      ? rotateMoments(moments, state.basis!, basis, side, state.adamSteps, rule)
      : zeroMoments(moments.first.shape);
  moments.first = renew(moments.first, step, () => first);
  moments.second = renew(moments.second, step, () => second);
  if (rule.moments === 'reset') state.adamSteps = 0;
}
