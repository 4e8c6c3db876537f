import * as tf from '@tensorflow/tfjs-core';
import {releaseToScope, tidy, withGradients} from '../tfjs/engine';
import {backpropagate, type OnGradient} from './backward';
import {Recording} from './recording';

/**
 * Runs `f` and hands out the gradient of its result with respect to each of `xs`, one after the other, each as soon as it
 * is final; none for an x that the result does not depend on.
 *
 * @param onGradient Becomes the owner of each gradient.
 * @param options.dy Gradient of the result, of its shape; default: ones.
 * @param options.factoredAxes The `xs` whose gradients may be given factored, see `Recording`.
 * @returns The value of `f`, for the caller to dispose.
 */
export function streamGradients<T extends tf.Tensor>(
  f: () => T,
  xs: readonly tf.Tensor[],
  onGradient: OnGradient,
  {
    dy,
    factoredAxes,
  }: {dy?: tf.Tensor | undefined; factoredAxes?: ReadonlyMap<number, 0 | 1 | undefined>} = {},
): T {
  // On an error the value is freed as well.
  return tidy('gradients', () => {
    const recording = new Recording(xs, factoredAxes);
    const y = record(recording, () => {
      const value = f();
      tf.util.assert(
        value instanceof tf.Tensor,
        () => 'The result y returned by f() must be a tensor.',
      );
      return value;
    });
    try {
      tidy('backward', () => {
        backpropagate(recording, xs, [{y, dy: dy ?? tf.ones(y.shape)}], onGradient);
      });
    } finally {
      recording.holds.dispose();
    }
    return y;
  });
}

/**
 * Runs `f` on a recording. Meanwhile the stock tape is muted, so that `tf.grad` and similar functions are computed by this tape, too.
 */
export function record<T extends tf.TensorContainer>(recording: Recording, f: () => T): T {
  return withGradients(engineGradients, () => recording.run(f));
}

/** All gradients of `f` with respect to `xs` at once; null for an x that the result does not depend on. */
export function collectGradients<T extends tf.Tensor>(
  f: () => T,
  xs: readonly tf.Tensor[],
  dy?: tf.Tensor,
): {value: T; grads: Array<tf.Tensor | null>} {
  const grads: Array<tf.Tensor | null> = xs.map(() => null);
  const value = keeping((keep) =>
    streamGradients(f, xs, (index, gradient) => (grads[index] = keep(gradient)), {dy}),
  );
  return {value, grads};
}

/**
 * Runs `body`, which keeps tensors that are made in inner scopes. In the end they belong to the surrounding scope, as what
 * an op returns does; on an error they are freed.
 */
export function keeping<T>(body: (keep: (tensor: tf.Tensor) => tf.Tensor) => T): T {
  const kept: tf.Tensor[] = [];
  try {
    const result = body((tensor) => {
      kept.push(tf.keep(tensor));
      return tensor;
    });
    kept.forEach(releaseToScope);
    return result;
  } catch (error) {
    tf.dispose(kept);
    throw error;
  }
}

/**
 * The engine's `gradients`, which `tf.grad` and similar functions call, on this tape: the same arguments, result and errors.
 */
export function engineGradients<T extends tf.Tensor>(
  f: () => T,
  xs: tf.Tensor[],
  dy?: tf.Tensor | null,
  allowNoGradients = false,
): {value: T; grads: Array<tf.Tensor | null>} {
  tf.util.assert(xs.length > 0, () => 'gradients() received an empty list of xs.');
  if (dy != null && dy.dtype !== 'float32') {
    throw new Error(`dy must have 'float32' dtype, but has '${dy.dtype}'`);
  }
  return tidy('gradients', () => {
    const result = collectGradients(f, xs, dy ?? undefined);
    if (!allowNoGradients && result.grads.every((gradient) => gradient === null)) {
      throw new Error(
        'Cannot compute gradient of y=f(x) with respect to x. Make sure that the f you passed encloses all operations ' +
          'that lead from x to y.',
      );
    }
    return result;
  });
}
