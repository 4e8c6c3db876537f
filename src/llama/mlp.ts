import * as tf from '@tensorflow/tfjs-core';
import type {ByRole} from './architectures/weights';
import {swigluProjection} from './swiglu';

/**
 * Kernels `[in, out]`: `gate` and `up` `[hidden, intermediate]`, `down` `[intermediate, hidden]`.
 */
export type MlpKernels = Pick<ByRole<tf.Tensor>, 'gate' | 'up' | 'down'>;

/** SwiGLU (Shazeer 2020): `down(silu(gate(x)) · up(x))`, `x` `[rows, hidden]` to the same shape. */
export function mlp(x: tf.Tensor, kernels: MlpKernels): tf.Tensor {
  return tf.tidy(() => {
    const [gate, up] = [tf.matMul(x, kernels.gate), tf.matMul(x, kernels.up)];
    return swigluProjection(gate, up, kernels.down);
  });
}
