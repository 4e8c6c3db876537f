import type * as tf from '@tensorflow/tfjs-core';

/** One way to read a kernel's run: `weight` applied to the rows of `input`. */
export interface LinearUse {
  weight: tf.Tensor;
  input: tf.Tensor;
  /** The axes of `input` that are features; the rows lie along the others. */
  featureAxes: readonly number[];
  /**
   * Sums values in the shape of `input` over the rows, one sum for each feature, in a shape that broadcasts
   * to that of `weight`: each entry of the weight gets the sum of the feature that it is multiplied with.
   */
  sumRows(values: tf.Tensor): tf.Tensor;
}
