import * as tf from '@tensorflow/tfjs-core';
import {needsGradient} from '../tape/recording';
import {isInGradient} from '../tfjs/engine';

/** An op with a gradient of its own. */
export interface CustomOp {
  /** What the op may be differentiated by. */
  inputs: tf.Tensor[];
  /** The tensors that the gradient reads, inputs or constants; default the inputs. */
  kept?: tf.Tensor[];
  /** Whether the gradient also reads what `forward` returns: it comes after the kept tensors then. Default false. */
  keepsResults?: boolean;
  /** The value, and what only the gradient wants of it. */
  forward: () => tf.Tensor | [tf.Tensor, ...tf.Tensor[]];
  /**
   * The gradients of all inputs, from that of the result and the kept tensors. It may read no other
   * tensor: by then it may be gone. `needed` tells for each input whether its gradient is asked for;
   * null will do for the others.
   */
  gradient: (dy: tf.Tensor, kept: tf.Tensor[], needed: boolean[]) => Array<tf.Tensor | null>;
}

/**
 * Runs an op that costs the memory of its kept tensors between forward and backward pass: what it
 * makes inside is freed at once and made again for the gradient (recomputation, Chen et al. 2016).
 *
 * It has first derivatives only: a gradient of its gradient would miss what goes through kept
 * tensors.
 *
 * @throws if its gradient is computed inside of the function of another gradient.
 */
export function customOp({
  inputs,
  kept = inputs,
  keepsResults = false,
  forward,
  gradient,
}: CustomOp): tf.Tensor {
  const needed = inputs.map(needsGradient);
  if (!needed.includes(true)) return tf.tidy(() => [forward()].flat()[0]!);
  const op = tf.customGrad((...args) => {
    const results = [forward()].flat();
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
