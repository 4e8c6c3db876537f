import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreSwiGLU. */
export function simdSwiGLU(
  {functions}: SimdModule,
  {inputs: {gate, up}, backend}: KernelArgs<'gate' | 'up', object>,
): tf.TensorInfo {
  const y = allocate(backend, gate.shape);
  functions.swiglu(
    addressOf(backend, gate),
    addressOf(backend, up),
    tf.util.sizeFromShape(gate.shape),
    addressOf(backend, y),
  );
  return y;
}

/** OwLoreSwiGLUGrad. */
export function simdSwiGLUGrad(
  {functions}: SimdModule,
  {inputs: {dy, gate, up}, backend}: KernelArgs<'dy' | 'gate' | 'up', object>,
): tf.TensorInfo[] {
  const dGate = allocate(backend, gate.shape);
  const dUp = allocate(backend, gate.shape);
  functions.swigluGradient(
    addressOf(backend, dy),
    addressOf(backend, gate),
    addressOf(backend, up),
    tf.util.sizeFromShape(gate.shape),
    addressOf(backend, dGate),
    addressOf(backend, dUp),
  );
  return [dGate, dUp];
}
