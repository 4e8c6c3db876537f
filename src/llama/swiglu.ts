import * as tf from '@tensorflow/tfjs-core';
import {OwLoreSwiGLU, OwLoreSwiGLUGrad} from '../kernels/llama_kernel_names';
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
  const byDown = (gated: tf.Tensor): tf.Tensor => tf.matMul(gated, dy, true);
  if (!gateNeeded && !upNeeded) return [null, null, tf.tidy(() => byDown(swiglu(gate, up)))];
  const dGated = tf.matMul(dy, down, false, true);
  const attrs = {withValue: downNeeded};
  const [dGate, dUp, gated] = runKernel(OwLoreSwiGLUGrad, {dy: dGated, gate, up}, attrs)!;
  return [dGate!, dUp!, gated ? byDown(gated) : null];
}

/** In an order in which at most six tensors of the gate's size are alive, gate and up among them. */
function composedGradients(
  dy: tf.Tensor,
  gate: tf.Tensor,
  up: tf.Tensor,
  down: tf.Tensor,
  [gateNeeded, upNeeded, downNeeded]: boolean[],
): Gradients {
  const sigmoid = tf.sigmoid(gate);
  const silu = tf.mul(gate, sigmoid);
  const dDown = downNeeded ? tf.tidy(() => tf.matMul(tf.mul(silu, up), dy, true)) : null;
  if (!gateNeeded && !upNeeded) return [null, null, dDown];
  const dGated = tf.matMul(dy, down, false, true);
  const dUp = tf.mul(dGated, silu);
  silu.dispose();
  // d silu = σ(z) + z·σ(z)·(1 − σ(z)), the first term apart.
  const first = used(
    used(dGated, (x) => tf.mul(x, up)),
    (x) => tf.mul(x, sigmoid),
  );
  const slope = used(
    used(sigmoid, (x) => tf.sub(1, x)),
    (x) => tf.mul(gate, x),
  );
  const second = used(slope, (x) => tf.mul(first, x));
  return [tf.add(first, second), dUp, dDown];
}

/** What `f` makes of `x`, which is freed. */
function used(x: tf.Tensor, f: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  const y = f(x);
  x.dispose();
  return y;
}
