/** Values of tensors and weights on the host, some at a time, so that a large one is not in memory a second time. */
import * as tf from '@tensorflow/tfjs-core';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {fromBfloat16} from '../files/half_precision';
import {readsSynchronously} from '../kernels/capabilities';
import {sourceOf} from './packed_weight';

/** Numbers that are read at a time: 4 MiB of them. */
const PIECE = 2 ** 20;

/** The values of a tensor in order, to the last bit. A piece may be the tensor's own memory. */
export async function* tensorPieces(tensor: tf.Tensor): AsyncGenerator<Float32Array | Int32Array> {
  const {size} = tensor;
  // a device's shader might change subnormal numbers and NaN when it copies a part
  if (size <= PIECE || !readsSynchronously()) {
    yield (await tensor.data()) as Float32Array | Int32Array;
    return;
  }
  for (let from = 0; from < size; from += PIECE) {
    const count = Math.min(PIECE, size - from);
    const piece = tf.tidy(() => tf.slice(tf.reshape(tensor, [size]), from, count));
    try {
      yield (await piece.data()) as Float32Array | Int32Array;
    } finally {
      piece.dispose();
    }
  }
}

/** The values of a weight in order, to the last bit; those of a packed one are widened. */
export async function* weightPieces(weight: LayerVariable): AsyncGenerator<Float32Array> {
  let left = tf.util.sizeFromShape(weight.shape as number[]);
  for await (const numbers of tensorPieces(sourceOf(weight))) {
    if (numbers instanceof Float32Array) {
      yield numbers;
      continue;
    }
    const count = Math.min(left, 2 * numbers.length);
    yield fromBfloat16(new Uint16Array(numbers.buffer, numbers.byteOffset, count));
    left -= count;
  }
}
