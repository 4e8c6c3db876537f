import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreAdamAttrs} from '../fused_kernels';
import {addressOf, allocate, type KernelArgs} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreAdam. */
export function simdAdam(
  {functions}: SimdModule,
  {
    inputs: {gradient, first, second},
    backend,
    attrs: {beta1, beta2, epsilon, rate, step},
  }: KernelArgs<'gradient', OwLoreAdamAttrs, 'first' | 'second'>,
): tf.TensorInfo[] {
  const newFirst = allocate(backend, gradient.shape);
  const newSecond = allocate(backend, gradient.shape);
  const change = allocate(backend, gradient.shape);
  // The bias corrections are folded into two numbers.
  const correction1 = 1 - beta1 ** step;
  const correction2 = Math.sqrt(1 - beta2 ** step);
  functions.adam(
    addressOf(backend, gradient),
    first ? addressOf(backend, first) : 0,
    second ? addressOf(backend, second) : 0,
    tf.util.sizeFromShape(gradient.shape),
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    (rate * correction2) / correction1,
    epsilon * correction2,
    addressOf(backend, newFirst),
    addressOf(backend, newSecond),
    addressOf(backend, change),
  );
  return [newFirst, newSecond, change];
}
