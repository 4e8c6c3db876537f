import type * as tf from '@tensorflow/tfjs-core';

/** One way to see a kernel's run: `weight` applied to the rows of `input`. */
export interface LinearUse {
  weight: tf.Tensor;
  input: tf.Tensor;
  /** The axes of `input` that are features; along the others lie the rows. */
  featureAxes: readonly number[];
  /**
   * From values in the shape of `input` to their sum over the rows for each feature, in a shape that
   * broadcasts to that of `weight`: each weight meets the feature it is multiplied with.
   */
  sumRows(values: tf.Tensor): tf.Tensor;
}
