import * as tf from '@tensorflow/tfjs-core';
import {swigluProjection} from './swiglu';

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
  return tf.tidy(() => {
    const rows = tf.reshape(x, [-1, x.shape.at(-1)!]);
    const [gate, up] = [tf.matMul(rows, kernels.gate), tf.matMul(rows, kernels.up)];
    return tf.reshape(swigluProjection(gate, up, kernels.down), x.shape);
  });
}
