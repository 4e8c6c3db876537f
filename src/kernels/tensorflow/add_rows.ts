import type * as tf from '@tensorflow/tfjs-core';
import type {OwLoreAddRowsAttrs, OwLoreAddRowsInputs} from '../kernel_names';
import {nativeOf, NativeOps, type Native, type NodeBackend} from './native_ops';

interface AddRowsArgs {
  inputs: OwLoreAddRowsInputs;
  attrs: OwLoreAddRowsAttrs;
  backend: NodeBackend;
}

/**
 * OwLoreAddRows. Not as a variable, which tells by itself whether its memory is shared: not every TensorFlow can change some of its rows in
 * place (`changesRows`).
 */
export function addRows({inputs, attrs: {isSoleOwner}, backend}: AddRowsArgs): tf.TensorInfo {
  const ops = new NativeOps(backend);
  const {x, ids, values} = inputs;
  const {dataId, shape, dtype} = x;
  return ops.scope(() => {
    const {places, rows} = sumsById(ops, nativeOf(backend, ids), nativeOf(backend, values));
    if (isSoleOwner && backend.refCount(dataId) === 1) {
      ops.run('InplaceAdd', [nativeOf(backend, x), places, rows]); // its result has the memory of x
      backend.incRef(dataId);
      return {dataId, shape, dtype};
    }
    const at = ops.reshape(places, [...places.shape, 1]);
    const types = {T: ops.float32, Tindices: ops.int32};
    const sum = ops.run('TensorScatterAdd', [nativeOf(backend, x), at, rows], types);
    return backend.createOutputTensor(ops.release(sum));
  });
}

/** The different ids, and the sum of the rows of each. */
function sumsById(ops: NativeOps, ids: Native, values: Native): {places: Native; rows: Native} {
  const [places, segments] = ops.runAll('Unique', [ids], {T: ops.int32, out_idx: ops.int32}, 2);
  const count = ops.constant(Int32Array.from(places!.shape), []);
  const types = {T: ops.float32, Tindices: ops.int32, Tnumsegments: ops.int32};
  return {
    places: places!,
    rows: ops.run('UnsortedSegmentSum', [values, segments!, count], types),
  };
}
