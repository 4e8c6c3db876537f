import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreAccumulateInputs} from '../kernel_names';
import {addressOf, allocate, share} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreAccumulate, in place where no other tensor has the data of the sum. */
export function accumulate(
  module: SimdModule,
  {inputs: {sum, x}, backend}: {inputs: OwLoreAccumulateInputs; backend: BackendWasm},
): tf.TensorInfo {
  const isOwner = backend.refCount(sum.dataId) === 1;
  const y = isOwner ? share(backend, sum) : allocate(backend, sum.shape);
  const [to, a, b] = [y, sum, x].map((info) => addressOf(backend, info));
  module.add({a: a!, b: b!, size: tf.util.sizeFromShape(sum.shape), y: to!});
  return y;
}
