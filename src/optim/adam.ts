import * as tf from '@tensorflow/tfjs-core';

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

/** m ← β₁m + (1 − β₁)g,  v ← β₂v + (1 − β₂)g². Returns new tensors; the old ones stay the caller's. */
export function updateMoments(
  {first, second}: Moments,
  gradient: tf.Tensor,
  {beta1, beta2}: AdamOptions,
): Moments {
  return {
    first: tf.add(tf.mul(first, beta1), tf.mul(gradient, 1 - beta1)),
    second: tf.add(tf.mul(second, beta2), tf.mul(tf.square(gradient), 1 - beta2)),
  };
}

/**
 * `rate`·m̂/(√v̂ + ε) in step `step` = 1, 2, … of these moments (Kingma & Ba 2015, Alg. 1). The bias corrections and the
 * rate are folded into two numbers, so that they cost one pass over the tensor instead of three.
 */
export function adamStep(
  {first, second}: Moments,
  step: number,
  rate: number,
  {beta1, beta2, epsilon}: AdamOptions,
): tf.Tensor {
  const correction1 = 1 - beta1 ** step;
  const correction2 = Math.sqrt(1 - beta2 ** step);
  const denominator = tf.add(tf.sqrt(second), epsilon * correction2);
  return tf.div(tf.mul(first, (rate * correction2) / correction1), denominator);
}
