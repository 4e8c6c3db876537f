import * as tf from '@tensorflow/tfjs-core';
import {computesInFloat16} from '../../../kernels/capabilities';
import type {OwLoreUpdate, Side} from '../../../kernels/kernel_names';
import {sayOnce} from '../../../common/say_once';
import {basisShape, type Projection} from '../state/projector';
import type {StepSettings, Update} from './pending_update';
import type {Moments} from '../state/state';

/** Decay rates of the moments and the term that keeps the division finite. */
export interface AdamOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
}

/** Moments before the first step. */
export function zeroMoments(shape: number[]): Moments {
  return {first: tf.fill(shape, 0), second: tf.fill(shape, 0)};
}

/**
 * Adam's average, β·a + (1 − β)·x, as a + (1 − β)(x − a), which takes at most two buffers of its size, including the result
 * (`torch.lerp`). It is computed from the nearer of a and x, so that β = 0 gives x itself. Never negative if a and x are not.
 */
export function movingAverage(average: tf.Tensor, value: tf.Tensor, beta: number): tf.Tensor {
  return tf.tidy(() => {
    const [start, part] = beta > 0.5 ? [average, 1 - beta] : [value, -beta];
    const way = tf.tidy(() => tf.mul(tf.sub(value, average), part));
    return tf.add(start, way);
  });
}

/** Smallest ε where tensors hold float16, which is tfjs's own there: a smaller one is 0 or nearly 0, and 0/0 is NaN. */
const EPSILON_FLOAT16 = 1e-4;

/** ε, or the larger one that replaces it where the backend computes in float16, with a line that says so. */
function usableEpsilon(epsilon: number): number {
  if (epsilon >= EPSILON_FLOAT16 || !computesInFloat16()) return epsilon;
  sayOnce(
    'info',
    `OwLoreOptimizer: webgl has only float16 on this device, where epsilon ${epsilon} is 0 or nearly 0; ` +
      `${EPSILON_FLOAT16} is used instead, as by tf.train.adam`,
  );
  return EPSILON_FLOAT16;
}

/** The learning rate and ε with the bias corrections folded in, so that the corrections cost no pass over the tensors. */
type StepSize = Pick<OwLoreUpdate, 'rate' | 'epsilon'>;

/** The step size of the moments' step `step` = 1, 2, … */
export function stepSize(
  step: number,
  learningRate: number,
  {beta1, beta2, epsilon}: AdamOptions,
): StepSize {
  const correction1 = 1 - beta1 ** step;
  const correction2 = Math.sqrt(1 - beta2 ** step);
  return {
    rate: (learningRate * correction2) / correction1,
    epsilon: usableEpsilon(epsilon) * correction2,
  };
}

/** The numbers of a variable's update: the rate contains η, α and the bias corrections, the decay contains λ. */
export function updateNumbers(
  {projection, state, weightDecay, rateFactor}: Update,
  {options, learningRate}: StepSettings,
): OwLoreUpdate {
  const alpha = projection ? scaleOf(projection, options.scale) : 1;
  const rate = learningRate * rateFactor;
  return {
    ...stepSize(state.adamSteps, rate * alpha, options),
    decay: 1 - rate * weightDecay,
    side: projection?.side,
  };
}

/**
 * α of a projected step. Adam moves each of the m·n elements of a matrix by about η, a step of length η√(mn); in a basis of r
 * directions it moves only r·n coordinates, a step of length η√(rn). `'auto'` is √(m/r), which makes up for that; the other part
 * of `'auto'` is in the lengths of the columns of the basis, see `projectGradient`.
 */
function scaleOf(projection: Projection, scale: number | 'auto'): number {
  if (scale !== 'auto') return scale;
  const [dimension, rank] = basisShape(projection);
  return Math.sqrt(dimension / rank);
}

/** η·m̂/(√v̂ + ε) (Kingma & Ba 2015, Alg. 1). */
export function adamStep({first, second}: Moments, {rate, epsilon}: StepSize): tf.Tensor {
  return tf.tidy(() => {
    const denominator = tf.tidy(() => tf.add(tf.sqrt(second), epsilon));
    // In this order: the moment times the rate may be too small for float16.
    return tf.mul(tf.div(first, denominator), rate);
  });
}

/**
 * Moments, `steps` Adam steps old, taken from the coordinates of the old basis to those of the new one (after LDAdam, Robert et
 * al. 2024): with Q of `rotationBetween`, m ← Qm and v ← (1 − β₂ᵗ)·|(Q∘Q)(v̂ − m̂∘m̂) + (Qm̂)∘(Qm̂)|. Returns new tensors.
 */
export function rotateMoments(
  {first, second}: Moments,
  rotation: tf.Tensor2D,
  side: Side,
  steps: number,
  {beta1, beta2}: AdamOptions,
): Moments {
  const rotate = (matrix: tf.Tensor2D, by: tf.Tensor2D): tf.Tensor2D =>
    side === 'left' ? tf.matMul(by, matrix) : tf.matMul(matrix, by, false, true);
  const correction2 = 1 - beta2 ** steps;
  const mean = tf.div<tf.Tensor2D>(first, 1 - beta1 ** steps);
  const variance = tf.sub<tf.Tensor2D>(tf.div(second, correction2), tf.square(mean));
  const rotatedSquare = tf.add(
    rotate(variance, tf.square(rotation)),
    tf.square(rotate(mean, rotation)),
  );
  return {
    first: rotate(first as tf.Tensor2D, rotation),
    second: tf.mul(tf.abs(rotatedSquare), correction2),
  };
}
