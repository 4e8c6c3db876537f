import type * as tf from '@tensorflow/tfjs-core';
import {floatsOf, type CpuKernelArgs} from './cpu_backend';

/** OwLoreSquaredNorm. */
export function squaredNorm({
  inputs: {x},
  backend,
}: CpuKernelArgs<Record<'x', tf.TensorInfo>, unknown>): tf.TensorInfo {
  let sum = 0;
  for (const value of floatsOf(backend, x)) sum += value * value;
  return backend.makeTensorInfo([], 'float32', Float32Array.of(sum));
}
