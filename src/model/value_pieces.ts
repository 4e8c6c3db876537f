/** Values of tensors and weights on the host, some at a time, so that a large one is not in memory a second time. */
import * as tf from '@tensorflow/tfjs-core';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import {readsSynchronously} from '../kernels/capabilities';
import {sourceOf, valuesOf} from './packed_weight';

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
      // not in the tidy, which would look at each number it returns whether it is a tensor
      yield piece.dataSync<'float32' | 'int32'>();
    } finally {
      piece.dispose();
    }
  }
}

/** The values of a weight in order, to the last bit; those of a packed one, which are half as large, are widened as a whole. */
export async function* weightPieces(weight: LayerVariable): AsyncGenerator<Float32Array> {
  const source = sourceOf(weight);
  if (source.dtype === 'int32') yield valuesOf(weight);
  else yield* tensorPieces(source) as AsyncGenerator<Float32Array>;
}
