import * as tf from '@tensorflow/tfjs-core';
import {linear} from './linear';

/**
 * Kernels `[in, out]`: `gate` and `up` `[hidden, intermediate]`, `down` `[intermediate, hidden]`.
 */
export interface MlpKernels {
  gate: tf.Tensor;
  up: tf.Tensor;
  down: tf.Tensor;
}

/**
 * SwiGLU (Shazeer 2020): `down(silu(gate(x)) · up(x))`, `x` `[batch, seq, hidden]` to the same
 * shape.
 */
export function mlp(x: tf.Tensor, kernels: MlpKernels): tf.Tensor {
  const gate = linear(x, kernels.gate);
  const silu = tf.mul(gate, tf.sigmoid(gate));
  return linear(tf.mul(silu, linear(x, kernels.up)), kernels.down);
}
