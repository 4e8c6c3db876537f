import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {NativeKernel} from './kernel';
import {NativeType} from './native_ops';

/** TensorFlow's number for bfloat16, which tfjs does not have. */
const bfloat16 = new NativeType(14);

export const unpackBfloat16: NativeKernel<OwLoreUnpackBfloat16Attrs> = (ops, {packed}, {shape}) => {
  // [n, 2], the lower half of each number first
  const pairs = ops.run('Bitcast', [packed!], {T: ops.int32, type: bfloat16});
  const size = tf.util.sizeFromShape(shape);
  const halves = size % 2 === 0 ? pairs : ops.slice(ops.reshape(pairs, [size + 1]), [0], [size]);
  const attributes = {SrcT: bfloat16, DstT: ops.float32, Truncate: false};
  return ops.run('Cast', [ops.reshape(halves, shape)], attributes);
};
