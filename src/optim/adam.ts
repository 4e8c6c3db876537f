import * as tf from '@tensorflow/tfjs-core';
import {computesInFloat16} from './read_back';

/** Adam's exponential moving averages of a gradient and of its square, both of the gradient's shape. */
export interface Moments {
  first: tf.Tensor;
  second: tf.Tensor;
}

/** Decay rates of the moments and the term that keeps the division finite. */
export interface AdamOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
}

/** Moments before the first step. */
export function zeroMoments(shape: number[]): Moments {
  return {first: tf.zeros(shape), second: tf.zeros(shape)};
}

/**
 * Adam's average, β·a + (1 − β)·x, as a + (1 − β)(x − a), which takes two buffers of its size at most, its own among them
 * (`torch.lerp`). It starts at x where that is nearer, so that β = 0 gives x itself. Never negative if a and x are not.
 */
export function movingAverage(average: tf.Tensor, value: tf.Tensor, beta: number): tf.Tensor {
  return tf.tidy(() => {
    const [start, part] = beta > 0.5 ? [average, 1 - beta] : [value, -beta];
    const way = tf.tidy(() => tf.mul(tf.sub(value, average), part));
    return tf.add(start, way);
  });
}

/** Least ε where tensors hold float16, tfjs's own there: a smaller one is 0 or nearly so, and 0/0 is NaN. */
const EPSILON_FLOAT16 = 1e-4;

let saidEpsilon = false;

/** ε, or what takes its place where the backend computes in float16, which is said once. */
function usableEpsilon(epsilon: number): number {
  if (epsilon >= EPSILON_FLOAT16 || !computesInFloat16()) return epsilon;
  if (!saidEpsilon) {
    console.info(
      `OwLoreOptimizer: webgl has float16 alone on this device, where epsilon ${epsilon} is next to nothing; it is taken as ` +
        `${EPSILON_FLOAT16}, as by tf.train.adam`,
    );
  }
  saidEpsilon = true;
  return EPSILON_FLOAT16;
}

/** Two numbers that fold the bias corrections into Adam's step, so that these cost no pass over the tensors. */
export interface StepSize {
  rate: number;
  epsilon: number;
}

/** The step size of step `step` = 1, 2, … of some moments. */
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

/** η·m̂/(√v̂ + ε) (Kingma & Ba 2015, Alg. 1). */
export function adamStep({first, second}: Moments, {rate, epsilon}: StepSize): tf.Tensor {
  return tf.tidy(() => {
    const denominator = tf.tidy(() => tf.add(tf.sqrt(second), epsilon));
    // In this order: the moment times the rate may be too small for float16.
    return tf.mul(tf.div(first, denominator), rate);
  });
}
