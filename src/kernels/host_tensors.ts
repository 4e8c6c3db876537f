/** Tensors whose values tfjs makes on the host; where the backend computes no values, it makes none. */
import * as tf from '@tensorflow/tfjs-core';
import {computesValues} from './capabilities';

/** Independent uniform numbers between `min` and `max`. */
export function randomUniform<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  min: number,
  max: number,
  seed: number | string,
): tf.Tensor<R> {
  // tfjs takes a text as a seed, too
  const given = seed as number;
  return computesValues()
    ? tf.randomUniform(shape, min, max, 'float32', given)
    : tf.fill(shape, min);
}

/** Independent normal numbers of mean 0. */
export function randomNormal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  stddev: number,
  seed: number,
): tf.Tensor<R> {
  return computesValues() ? tf.randomNormal(shape, 0, stddev, 'float32', seed) : tf.fill(shape, 0);
}

/** The identity matrix. */
export function eye(size: number): tf.Tensor2D {
  return computesValues() ? tf.eye(size) : tf.fill([size, size], 0);
}
