import * as tf from '@tensorflow/tfjs-core';

/** An op that keeps its inputs for the gradient and nothing else; all else is computed again. */
export interface RecomputedOp {
  /** What the op may be differentiated by. */
  inputs: tf.Tensor[];
  /** Tensors that both directions read and that have no gradient; default none. */
  constants?: tf.Tensor[];
  /** The result, from `inputs` followed by `constants`. */
  forward: (...tensors: tf.Tensor[]) => tf.Tensor;
  /**
   * The gradients of all `inputs`, from the gradient of the result, `inputs` and `constants`. It may read no other
   * tensor: one that the forward pass made is gone by then.
   */
  gradient: (dy: tf.Tensor, ...tensors: tf.Tensor[]) => tf.Tensor[];
}

/**
 * Runs an op whose inside costs memory only while it runs, in either direction (recomputation, Chen et al. 2016).
 *
 * It has first derivatives only: a gradient of its gradient misses what goes through the kept inputs.
 */
export function recomputed({inputs, constants = [], forward, gradient}: RecomputedOp): tf.Tensor {
  const op = tf.customGrad((...args) => {
    (args.at(-1) as tf.GradSaveFunc)([...inputs, ...constants]);
    return {
      value: forward(...inputs, ...constants),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.tidy(() => gradient(dy, ...saved)),
    };
  });
  return op(...inputs);
}
