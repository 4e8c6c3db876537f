/**
 * A gradient on its way from the tape to whoever takes it: a tensor as any other; rows with their ids, which become such a tensor when
 * they are added up; or factored, which is not made at all.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {FactoredGradient} from './factored_gradient';

/** Whether a gradient is factored. Not by `instanceof`: tf.Tensor redefines it so that any tensor would be one. */
export function isFactored(gradient: tf.Tensor | null | undefined): gradient is FactoredGradient {
  return gradient instanceof tf.Tensor && 'terms' in gradient;
}

/** A gradient that is made when it is added to what there is already. */
export interface SummandGradient extends tf.Tensor {
  /** The sum with `sum`, where there is one; disposes of both. */
  addedTo(sum: tf.Tensor | undefined): tf.Tensor;
}

/** The sum of two gradients, of which it disposes; without a first one, the second. */
export function addGradients(a: tf.Tensor | undefined, b: tf.Tensor): tf.Tensor {
  if ('addedTo' in b) return (b as SummandGradient).addedTo(a);
  if (!a) return b;
  if (isFactored(a)) return a.plus(b);
  if (isFactored(b)) return b.plus(a);
  const sum = tf.add(a, b);
  tf.dispose([a, b]);
  return sum;
}

/** Runs `body` in a `tidy`. If it throws, disposes of a factored gradient, which is in no scope. */
export function tidyWith(gradient: tf.Tensor, body: () => void): void {
  try {
    tf.tidy(body);
  } catch (error) {
    if (isFactored(gradient)) gradient.dispose();
    throw error;
  }
}
