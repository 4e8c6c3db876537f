import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {OwLoreUnpackRowsAttrs, OwLoreUnpackWindowAttrs} from '../llama/kernel_names';
import type {NativeKernel} from './kernel';
import {NativeType, type Native, type NativeOps} from './native_ops';

/** TensorFlow's number for bfloat16, which tfjs does not have. */
const bfloat16 = new NativeType(14);

export const unpackBfloat16: NativeKernel<OwLoreUnpackBfloat16Attrs> = (ops, {packed}, {shape}) =>
  widened(ops, halvesOf(ops, packed!, shape));

export const unpackWindow: NativeKernel<OwLoreUnpackWindowAttrs> = (
  ops,
  {packed},
  {columns, begin, shape},
) => widened(ops, ops.slice(matrixOf(ops, packed!, columns), begin, shape));

export const unpackRows: NativeKernel<OwLoreUnpackRowsAttrs> = (ops, {packed, ids}, {columns}) => {
  const axis = ops.constant(Int32Array.of(0), []);
  const attributes = {Tparams: bfloat16, Tindices: ops.int32, Taxis: ops.int32, batch_dims: 0};
  const matrix = matrixOf(ops, packed!, columns);
  return widened(ops, ops.run('GatherV2', [matrix, ids!, axis], attributes));
};

/** The packed numbers as bfloat16, in the memory that they have unless they are odd in number. */
function halvesOf(ops: NativeOps, packed: Native, shape: readonly number[]): Native {
  // [n, 2], the lower half of each number first
  const pairs = ops.run('Bitcast', [packed], {T: ops.int32, type: bfloat16});
  const size = tf.util.sizeFromShape([...shape]);
  const all = 2 * packed.shape[0]!;
  return ops.reshape(
    size === all ? pairs : ops.slice(ops.reshape(pairs, [all]), [0], [size]),
    shape,
  );
}

function matrixOf(ops: NativeOps, packed: Native, columns: number): Native {
  return halvesOf(ops, packed, [Math.floor((2 * packed.shape[0]!) / columns), columns]);
}

function widened(ops: NativeOps, halves: Native): Native {
  return ops.run('Cast', [halves], {SrcT: bfloat16, DstT: ops.float32, Truncate: false});
}
