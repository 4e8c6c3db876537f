import type * as tf from '@tensorflow/tfjs-core';
import {sumOfSquares} from '../sum_of_squares';
import {floatsOf, type CpuKernelArgs} from './cpu_backend';

/** OwLoreSquaredNorm. */
export function squaredNorm({
  inputs: {x},
  backend,
}: CpuKernelArgs<Record<'x', tf.TensorInfo>, unknown>): tf.TensorInfo {
  const squares = sumOfSquares(floatsOf(backend, x));
  return backend.makeTensorInfo([], 'float32', Float32Array.of(squares));
}
