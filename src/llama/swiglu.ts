import * as tf from '@tensorflow/tfjs-core';
import {customOp} from './custom_op';

/**
 * `silu(gate) · up` (Shazeer 2020), `silu(z) = z · sigmoid(z)`, for two tensors of one shape. Keeps
 * both for the gradient and no more.
 */
export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  return customOp({
    inputs: [gate, up],
    forward: () => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up),
    gradient: (dy, kept) => {
      const [gate, up] = kept as [tf.Tensor, tf.Tensor];
      const [silu, slope] = siluAndSlope(gate);
      const dGate = tf.tidy(() => tf.mul(tf.mul(dy, up), slope));
      slope.dispose();
      return [dGate, tf.mul(dy, silu)];
    },
  });
}

/** `silu(z) = z · σ(z)` and its derivative `σ(z) + silu(z) · (1 − σ(z))`. */
function siluAndSlope(z: tf.Tensor): [silu: tf.Tensor, slope: tf.Tensor] {
  return tf.tidy(() => {
    const sigmoid = tf.sigmoid(z);
    const silu = tf.mul(z, sigmoid);
    return [
      silu,
      tf.add(
        sigmoid,
        tf.tidy(() => tf.mul(silu, tf.sub(1, sigmoid))),
      ),
    ];
  });
}
