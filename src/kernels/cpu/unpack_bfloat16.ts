import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {OwLoreUnpackRowsAttrs, OwLoreUnpackWindowAttrs} from '../llama_kernel_names';
import type {CpuBackend} from './unsorted_segment_sum';

/** OwLoreUnpackBfloat16. */
export const unpackBfloat16: tf.KernelFunc = ({inputs, backend, attrs}) => {
  // The kernel's name decides which attributes it has; tfjs gives all the same type.
  const {shape} = attrs as unknown as OwLoreUnpackBfloat16Attrs;
  return unpack(inputs, backend, shape, (copy, size) => copy(0, 0, size));
};

/** OwLoreUnpackWindow. */
export const unpackWindow: tf.KernelFunc = ({inputs, backend, attrs}) => {
  const {columns, begin, shape} = attrs as unknown as OwLoreUnpackWindowAttrs;
  const [count, width] = shape;
  return unpack(inputs, backend, shape, (copy) => {
    for (let i = 0; i < count; i++) copy((begin[0] + i) * columns + begin[1], i * width, width);
  });
};

/** OwLoreUnpackRows. */
export const unpackRows: tf.KernelFunc = ({inputs, backend, attrs}) => {
  const {columns} = attrs as unknown as OwLoreUnpackRowsAttrs;
  const {packed, ids} = inputs as {packed: tf.TensorInfo; ids: tf.TensorInfo};
  const rows = Math.floor((2 * packed.shape[0]!) / columns);
  const values = (backend as CpuBackend).data.get(ids.dataId).values;
  return unpack(inputs, backend, [...ids.shape, columns], (copy) => {
    values.forEach((id, i) => {
      tf.util.assert(
        id >= 0 && id < rows,
        () => `OwLoreUnpackRows on cpu: the id ${id} is not in [0, ${rows - 1}]`,
      );
      copy(id * columns, i * columns, columns);
    });
  });
};

/** A result of this shape, filled by calls that copy and widen `count` numbers. */
function unpack(
  inputs: tf.NamedTensorInfoMap,
  backend: unknown,
  shape: number[],
  fill: (copy: (from: number, to: number, count: number) => void, size: number) => void,
): tf.TensorInfo {
  const {packed} = inputs as {packed: tf.TensorInfo};
  const {data, makeTensorInfo} = backend as CpuBackend;
  const words = data.get(packed.dataId).values;
  const bits = new Uint32Array(tf.util.sizeFromShape(shape));
  fill((from, to, count) => {
    for (let i = 0; i < count; i++) {
      const word = words[(from + i) >> 1]!;
      bits[to + i] = (from + i) & 1 ? word & 0xffff0000 : word << 16;
    }
  }, bits.length);
  return makeTensorInfo.call(backend, shape, 'float32', new Float32Array(bits.buffer));
}
