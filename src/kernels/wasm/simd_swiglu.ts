import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreSwiGLUGradAttrs} from '../llama/kernel_names';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreSwiGLU. */
export function simdSwiGLU(
  module: SimdModule,
  {inputs: {gate, up}, backend}: KernelArgs<'gate' | 'up', object>,
): tf.TensorInfo {
  const y = allocate(backend, gate.shape);
  module.swiglu({
    gate: addressOf(backend, gate),
    up: addressOf(backend, up),
    size: tf.util.sizeFromShape(gate.shape),
    y: addressOf(backend, y),
  });
  return y;
}

/** OwLoreSwiGLUGrad. */
export function simdSwiGLUGrad(
  module: SimdModule,
  {inputs: {dy, gate, up}, backend, attrs}: KernelArgs<'dy' | 'gate' | 'up', OwLoreSwiGLUGradAttrs>,
): tf.TensorInfo[] {
  const dGate = allocate(backend, gate.shape);
  const dUp = allocate(backend, gate.shape);
  const values = attrs.withValue ? [allocate(backend, gate.shape)] : [];
  module.swigluGradient({
    dy: addressOf(backend, dy),
    gate: addressOf(backend, gate),
    up: addressOf(backend, up),
    size: tf.util.sizeFromShape(gate.shape),
    dGate: addressOf(backend, dGate),
    dUp: addressOf(backend, dUp),
    y: values[0] ? addressOf(backend, values[0]) : 0,
  });
  return [dGate, dUp, ...values];
}
