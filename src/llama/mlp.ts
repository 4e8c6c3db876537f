import * as tf from '@tensorflow/tfjs-core';
import {OwLoreSwiGLU, OwLoreSwiGLUGrad} from '../kernels/llama/kernel_names';
import type {BlockFeature} from '../kernels/llama/block_features';
import {areProductsSeparate, declareProducts} from '../kernels/products';
import {runKernel} from '../kernels/run_kernel';
import type {ByRole} from './architectures/weights';
import {customOp} from './custom_op';
import {canRun} from './kernel_op';

/**
 * What the gate goes through: SiLU, or GELU by its tanh approximation (Hendrycks & Gimpel 2016).
 */
export type Activation = 'silu' | 'gelu';

// it contains no matrix product
declareProducts(OwLoreSwiGLU, []);

/**
 * Kernels `[in, out]`: `gate` and `up` `[hidden, intermediate]`, `down` `[intermediate, hidden]`.
 */
export type MlpKernels = Pick<ByRole<tf.Tensor>, 'gate' | 'up' | 'down'>;

/**
 * A gated linear unit (Shazeer 2020): `down(activation(gate(x)) · up(x))`, `x` `[rows, hidden]` to the
 * same shape; plus `residual`, of the same shape, if it is given.
 */
export function mlp(
  x: tf.Tensor,
  kernels: MlpKernels,
  activation: Activation,
  residual?: tf.Tensor,
): tf.Tensor {
  return tf.tidy(() => {
    const [gate, up] = [tf.matMul(x, kernels.gate), tf.matMul(x, kernels.up)];
    return gatedProjection(gate, up, kernels.down, activation, residual);
  });
}

/** What a kernel with the MLP in it must compute. */
export function mlpFeatures(activation: Activation): BlockFeature[] {
  return activation === 'gelu' ? ['gelu'] : [];
}

/**
 * `(activation(gate) · up) down`: `gate` and `up` `[rows, intermediate]`, the kernel `down` `[intermediate, hidden]`. Keeps only
 * these three for the gradient: computing the tensors in between again costs less than any matrix product.
 *
 * @param residual Added to the result, `[rows, hidden]`. In the same op, so that a block which runs again for its gradient need not
 *   compute its value.
 */
export function gatedProjection(
  gate: tf.Tensor,
  up: tf.Tensor,
  down: tf.Tensor,
  activation: Activation,
  residual?: tf.Tensor,
): tf.Tensor {
  const isFused = canRun(OwLoreSwiGLU, mlpFeatures(activation));
  const gradientsOf = isFused ? fusedGradients : composedGradients;
  const hidden = (): tf.Tensor => gated(gate, up, activation, isFused);
  if (areProductsSeparate()) {
    const op = customOp({
      inputs: [gate, up],
      forward: hidden,
      gradient: (dy, kept, needed) => {
        const [gate, up] = kept as [tf.Tensor, tf.Tensor];
        return gradientsOf(() => tf.clone(dy), null, gate, up, activation, needed).slice(0, 2);
      },
    });
    const projected = tf.matMul(op, down);
    return residual ? tf.add(residual, projected) : projected;
  }
  return customOp({
    inputs: [gate, up, down, ...(residual ? [residual] : [])],
    kept: [gate, up, down],
    forward: (isValueNeeded) => {
      if (residual && !isValueNeeded) return tf.clone(residual);
      return tf.tidy(() => {
        const projected = tf.matMul(hidden(), down);
        return residual ? tf.add(residual, projected) : projected;
      });
    },
    gradient: (dy, kept, needed) => {
      const [gate, up, down] = kept as [tf.Tensor, tf.Tensor, tf.Tensor];
      const gatedGradient = (): tf.Tensor => tf.matMul(dy, down, false, true);
      const gradients = gradientsOf(gatedGradient, dy, gate, up, activation, needed.slice(0, 3));
      return residual ? [...gradients, dy] : gradients;
    },
  });
}

function gated(
  gate: tf.Tensor,
  up: tf.Tensor,
  activation: Activation,
  isFused: boolean,
): tf.Tensor {
  if (isFused) return runKernel(OwLoreSwiGLU, {gate, up})![0]!;
  return tf.tidy(() => tf.mul(tf.mul(gate, sigmoidOf(gate, activation)), up));
}

/**
 * `σ(h(z))`; both activations are `z · σ(h(z))`. SiLU has `h(z) = z`; GELU, whose `½(1 + tanh u)` is `σ(2u)`, has
 * `h(z) = 2√(2/π)(z + 0.044715 z³)`.
 */
function sigmoidOf(z: tf.Tensor, activation: Activation): tf.Tensor {
  if (activation === 'silu') return tf.sigmoid(z);
  return tf.tidy(() => tf.sigmoid(tf.mul(z, tf.add(LINEAR, tf.mul(CUBIC, tf.square(z))))));
}

const LINEAR = 2 * Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715 * LINEAR;

type Gradients = Array<tf.Tensor | null>;

/**
 * The gradients of gate, up and down.
 *
 * @param gradientOfGated That of `activation(gate) · up`.
 * @param dy That of the product with down; null if there is none.
 */
type GateGradients = (
  gradientOfGated: () => tf.Tensor,
  dy: tf.Tensor | null,
  gate: tf.Tensor,
  up: tf.Tensor,
  activation: Activation,
  needed: boolean[],
) => Gradients;

const fusedGradients: GateGradients = (gradientOfGated, dy, gate, up, activation, needed) => {
  const [gateNeeded, upNeeded, downNeeded = false] = needed;
  const byDown = (gated: tf.Tensor): tf.Tensor => tf.matMul(gated, dy!, true);
  if (!gateNeeded && !upNeeded) {
    return [null, null, tf.tidy(() => byDown(gated(gate, up, activation, true)))];
  }
  const attrs = {withValue: downNeeded};
  const [dGate, dUp, value] = runKernel(
    OwLoreSwiGLUGrad,
    {dy: gradientOfGated(), gate, up},
    attrs,
  )!;
  return [dGate!, dUp!, value ? byDown(value) : null];
};

/** In an order that keeps few tensors of the gate's size alive: with gate and up, six for SiLU and eight for GELU. */
const composedGradients: GateGradients = (gradientOfGated, dy, gate, up, activation, needed) => {
  const [gateNeeded, upNeeded, downNeeded = false] = needed;
  const sigmoid = sigmoidOf(gate, activation);
  const activated = tf.mul(gate, sigmoid);
  const dDown = downNeeded ? tf.tidy(() => tf.matMul(tf.mul(activated, up), dy!, true)) : null;
  if (!gateNeeded && !upNeeded) return [null, null, dDown];
  const dGated = gradientOfGated();
  const dUp = tf.mul(dGated, activated);
  activated.dispose();
  // The derivative of z·σ(h) is σ(h) + z·σ(h)·(1 − σ(h))·h′; the first term is computed separately.
  const first = used(
    used(dGated, (x) => tf.mul(x, up)),
    (x) => tf.mul(x, sigmoid),
  );
  const slope = used(
    used(sigmoid, (x) => tf.sub(1, x)),
    (x) => tf.mul(gate, x),
  );
  const inner = activation === 'silu' ? slope : used(slope, (x) => timesInnerSlope(x, gate));
  const second = used(inner, (x) => tf.mul(first, x));
  return [tf.add(first, second), dUp, dDown];
};

/** `x · h′(z)` for GELU. */
function timesInnerSlope(x: tf.Tensor, z: tf.Tensor): tf.Tensor {
  return tf.tidy(() => tf.mul(x, tf.add(LINEAR, tf.mul(3 * CUBIC, tf.square(z)))));
}

/** The result of `f` for `x`, which is freed. */
function used(x: tf.Tensor, f: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  const y = f(x);
  x.dispose();
  return y;
}
