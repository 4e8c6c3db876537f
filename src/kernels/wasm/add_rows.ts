import type * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {OwLoreAddRowsInputs} from '../kernel_names';
import {addSegments} from '../segment_sums';
import {allocate, share} from './kernel';
import type {SimdModule} from './simd_module';

interface AddRowsArgs {
  inputs: OwLoreAddRowsInputs;
  backend: BackendWasm;
}

/** OwLoreAddRows, on the heap: there are so few rows that it does not need the module. */
export function addRows(
  _module: SimdModule,
  {inputs: {x, ids, values}, backend}: AddRowsArgs,
): tf.TensorInfo {
  const isOwner = backend.refCount(x.dataId) === 1;
  const y = isOwner ? share(backend, x) : allocate(backend, x.shape);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const sums = backend.typedArrayFromHeap(y);
  if (!isOwner) sums.set(backend.typedArrayFromHeap(x));
  const width = x.shape[1]!;
  const {places, segments} = segmentsOf(backend.typedArrayFromHeap(ids));
  const rows = new Float32Array(places.length * width);
  addSegments(rows, backend.typedArrayFromHeap(values), segments, width);
  addSegments(sums, rows, places, width);
  return y;
}

/** The different ids, and for each id its place among them. */
function segmentsOf(ids: ArrayLike<number>): {places: number[]; segments: Int32Array} {
  const order = new Map<number, number>();
  const segments = Int32Array.from(ids, (id) => {
    if (!order.has(id)) order.set(id, order.size);
    return order.get(id)!;
  });
  return {places: [...order.keys()], segments};
}
