import * as tf from '@tensorflow/tfjs-core';
import {OwLoreSwiGLU, OwLoreSwiGLUGrad} from '../kernels/fused_kernels';
import {hasKernel, runKernel} from '../kernels/run_kernel';
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
    gradient: (dy, kept, needed) => {
      const [gate, up, down] = kept as [tf.Tensor, tf.Tensor, tf.Tensor];
      const isFused = hasKernel(OwLoreSwiGLUGrad);
      return (isFused ? fusedGradients : composedGradients)(dy, gate, up, down, needed);
    },
  });
}

function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  const fused = runKernel(OwLoreSwiGLU, {gate, up})?.[0];
  return fused ?? tf.tidy(() => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up));
}

type Gradients = Array<tf.Tensor | null>;

function fusedGradients(
  dy: tf.Tensor,
  gate: tf.Tensor,
  up: tf.Tensor,
  down: tf.Tensor,
  [gateNeeded, upNeeded, downNeeded]: boolean[],
): Gradients {
  const dDown = downNeeded ? tf.tidy(() => tf.matMul(swiglu(gate, up), dy, true)) : null;
  if (!gateNeeded && !upNeeded) return [null, null, dDown];
  const dGated = tf.matMul(dy, down, false, true);
  return [...runKernel(OwLoreSwiGLUGrad, {dy: dGated, gate, up})!, dDown];
}

function composedGradients(
  dy: tf.Tensor,
  gate: tf.Tensor,
  up: tf.Tensor,
  down: tf.Tensor,
  [gateNeeded, upNeeded, downNeeded]: boolean[],
): Gradients {
  const [silu, slope] = siluAndSlope(gate);
  const dDown = downNeeded ? tf.tidy(() => tf.matMul(tf.mul(silu, up), dy, true)) : null;
  if (!gateNeeded && !upNeeded) return [null, null, dDown];
  const dGated = tf.matMul(dy, down, false, true);
  const dGate = tf.tidy(() => tf.mul(tf.mul(dGated, up), slope));
  slope.dispose();
  return [dGate, tf.mul(dGated, silu), dDown];
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
