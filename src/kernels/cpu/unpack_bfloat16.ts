import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {CpuBackend} from './unsorted_segment_sum';

/** OwLoreUnpackBfloat16. */
export const unpackBfloat16: tf.KernelFunc = ({inputs, backend, attrs}) => {
  const {packed} = inputs as {packed: tf.TensorInfo};
  // The kernel's name decides which attributes it has; tfjs gives all the same type.
  const {shape} = attrs as unknown as OwLoreUnpackBfloat16Attrs;
  const {data, makeTensorInfo} = backend as CpuBackend;
  const words = data.get(packed.dataId).values;
  const bits = new Uint32Array(tf.util.sizeFromShape(shape));
  for (let i = 0; i < bits.length; i++) {
    const word = words[i >> 1]!;
    bits[i] = i & 1 ? word & 0xffff0000 : word << 16;
  }
  return makeTensorInfo.call(backend, shape, 'float32', new Float32Array(bits.buffer));
};
