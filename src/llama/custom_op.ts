import * as tf from '@tensorflow/tfjs-core';
import {isNextValueUnread} from '../tape/op_sequence';
import {needsGradient} from '../tape/recording';
import {isInGradient} from '../tfjs/engine';

/** An op with a gradient of its own. */
export interface CustomOp {
  /** The tensors by which the op may be differentiated. */
  inputs: tf.Tensor[];
  /** The tensors that the gradient reads, inputs or constants; default the inputs. */
  kept?: tf.Tensor[];
  /** Whether the gradient also reads the results of `forward`, which then follow the kept tensors. Default false. */
  keepsResults?: boolean;
  /**
   * Computes the value, and further results that only the gradient needs. If the value is not needed, any tensor of its shape will do
   * for it.
   */
  forward: (isValueNeeded: boolean) => tf.Tensor | [tf.Tensor, ...tf.Tensor[]];
  /**
   * The gradients of all inputs, from the gradient of the result and the kept tensors. It must not read
   * any other tensor, which may have been freed by then. `needed` says for each input whether its gradient
   * is asked for; null is enough for the others.
   */
  gradient: (dy: tf.Tensor, kept: tf.Tensor[], needed: boolean[]) => Array<tf.Tensor | null>;
}

/**
 * Runs an op that holds only its kept tensors between forward and backward pass: intermediate tensors are
 * freed at once and computed again for the gradient (recomputation, Chen et al. 2016).
 *
 * It has first derivatives only: a gradient of its gradient would miss the dependence through kept
 * tensors.
 *
 * @throws if its gradient is computed inside the function of another gradient.
 */
export function customOp({
  inputs,
  kept = inputs,
  keepsResults = false,
  forward,
  gradient,
}: CustomOp): tf.Tensor {
  const needed = inputs.map(needsGradient);
  if (!needed.includes(true)) return tf.tidy(() => [forward(true)].flat()[0]!);
  const isValueNeeded = !isNextValueUnread();
  const op = tf.customGrad((...args) => {
    const results = [forward(isValueNeeded)].flat();
    (args.at(-1) as tf.GradSaveFunc)(keepsResults ? [...kept, ...results] : kept);
    return {
      value: results[0]!,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        if (isInGradient()) {
          throw new Error('The ops of a LLaMA model have no second derivatives.');
        }
        return tf.tidy(
          () => gradient(dy, saved, needed).filter((_, i) => needed[i]) as tf.Tensor[],
        );
      },
    };
  });
  return op(...inputs.filter((_, i) => needed[i]));
}
