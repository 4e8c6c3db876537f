import * as tf from '@tensorflow/tfjs-core';
import {OwLoreSwiGLU, OwLoreSwiGLUGrad} from '../kernels/fused_kernels';
import {runKernel} from '../kernels/run_kernel';
import {customOp} from './custom_op';

/**
 * `(silu(gate) · up) down` (Shazeer 2020), `silu(z) = z · sigmoid(z)`: `gate` and `up` `[rows, intermediate]`, the kernel
 * `down` `[intermediate, hidden]`. Keeps these three for the gradient: what is between costs less to make again than any
 * product of matrices.
 */
export function swigluProjection(gate: tf.Tensor, up: tf.Tensor, down: tf.Tensor): tf.Tensor {
  return customOp({
    inputs: [gate, up, down],
    forward: () => tf.matMul(swiglu(gate, up), down),
    gradient: (dy, kept, [gateNeeded, upNeeded, downNeeded]) => {
      const [gate, up, down] = kept as [tf.Tensor, tf.Tensor, tf.Tensor];
      const dDown = downNeeded ? tf.tidy(() => tf.matMul(swiglu(gate, up), dy, true)) : null;
      if (!gateNeeded && !upNeeded) return [null, null, dDown];
      const dGated = tf.matMul(dy, down, false, true);
      return [...swigluGradients(dGated, gate, up), dDown];
    },
  });
}

function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  const fused = runKernel(OwLoreSwiGLU, {gate, up})?.[0];
  return fused ?? tf.tidy(() => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up));
}

/** The gradients by `gate` and `up`. */
function swigluGradients(dy: tf.Tensor, gate: tf.Tensor, up: tf.Tensor): tf.Tensor[] {
  const fused = runKernel(OwLoreSwiGLUGrad, {dy, gate, up});
  if (fused) return fused;
  const [silu, slope] = siluAndSlope(gate);
  const dGate = tf.tidy(() => tf.mul(tf.mul(dy, up), slope));
  slope.dispose();
  return [dGate, tf.mul(dy, silu)];
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
