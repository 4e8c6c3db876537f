import type * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreAccumulateInputs} from '../kernel_names';
import {allocate, share} from './kernel';
import type {SimdModule} from './simd_module';

/** OwLoreAccumulate, in place where no other tensor has the data of the sum. */
export function accumulate(
  _module: SimdModule,
  {inputs: {sum, x}, backend}: {inputs: OwLoreAccumulateInputs; backend: BackendWasm},
): tf.TensorInfo {
  const isOwner = backend.refCount(sum.dataId) === 1;
  const y = isOwner ? share(backend, sum) : allocate(backend, sum.shape);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const [to, from, added] = [y, sum, x].map((info) => backend.typedArrayFromHeap(info));
  for (let i = 0; i < to!.length; i++) to![i] = from![i]! + added![i]!;
  return y;
}
