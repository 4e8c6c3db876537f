/** Which tokens of a batch count; a page loads it when a batch says so. */
import * as tf from '@tensorflow/tfjs-core';

/** What a batch may have beside its inputs. */
export interface Labels {
  mask?: tf.Tensor;
  ys?: tf.TensorContainer;
}

/**
 * 1 for tokens that count and 0 for padding, `[batch, seq]`: the batch's `mask`, or 1 up to the last label of each row. Undefined for
 * other labels than those of tokens. Called in a `tidy`, which disposes of a mask that is new.
 *
 * @throws if the mask has another shape.
 */
export function tokenMask(
  owner: string,
  inputs: tf.Tensor | tf.Tensor[],
  {mask, ys}: Labels,
): tf.Tensor | undefined {
  const first = Array.isArray(inputs) ? inputs[0] : inputs;
  const rows = first?.shape[0];
  if (mask && (mask.rank !== 2 || mask.shape[0] !== rows)) {
    throw new Error(
      `${owner}: mask must have the shape [batch, seq] = [${rows}, seq]; got [${mask.shape.join(', ')}]`,
    );
  }
  if (mask) return mask;
  const isOfTokens =
    inputs instanceof tf.Tensor &&
    ys instanceof tf.Tensor &&
    ys.dtype === 'int32' &&
    tf.util.arraysEqual(ys.shape, [...inputs.shape, 1]);
  if (!isOfTokens) return undefined;
  return tf.tidy(() => {
    const isLabel = tf.cast(tf.greaterEqual(tf.reshape(ys, inputs.shape), 0), 'float32');
    return tf.minimum(tf.cumsum(isLabel, 1, false, true), 1);
  });
}
