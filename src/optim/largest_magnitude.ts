import * as tf from '@tensorflow/tfjs-core';
import {computesInFloat16} from './read_back';

/** Smallest normal numbers: they divide zeros into zeros. */
const SMALLEST = {float32: 2 ** -126, float16: 2 ** -14};

/** The smallest normal number of what the backend computes with. */
export function smallestNormal(): number {
  return computesInFloat16() ? SMALLEST.float16 : SMALLEST.float32;
}

/** max|x| of all numbers, or of those along an axis, which stays with length 1; never 0, so that it can divide. */
export function largestMagnitude(x: tf.Tensor, axis?: number): tf.Tensor {
  return tf.tidy(() => tf.maximum(tf.max(tf.abs(x), axis, axis !== undefined), smallestNormal()));
}
