import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreUnpackBfloat16Attrs} from '../kernel_names';
import type {OwLoreUnpackRowsAttrs, OwLoreUnpackWindowAttrs} from '../llama/kernel_names';
import type {CpuBackend, CpuKernelArgs} from './cpu_backend';

type Packed = Record<'packed', tf.TensorInfo>;

/** OwLoreUnpackBfloat16. */
export function unpackBfloat16({
  inputs: {packed},
  backend,
  attrs: {shape},
}: CpuKernelArgs<Packed, OwLoreUnpackBfloat16Attrs>): tf.TensorInfo {
  return unpack(packed, backend, shape, (copy, size) => copy(0, 0, size));
}

/** OwLoreUnpackWindow. */
export function unpackWindow({
  inputs: {packed},
  backend,
  attrs: {columns, begin, shape},
}: CpuKernelArgs<Packed, OwLoreUnpackWindowAttrs>): tf.TensorInfo {
  const [count, width] = shape;
  return unpack(packed, backend, shape, (copy) => {
    for (let i = 0; i < count; i++) copy((begin[0] + i) * columns + begin[1], i * width, width);
  });
}

/** OwLoreUnpackRows. */
export function unpackRows({
  inputs: {packed, ids},
  backend,
  attrs: {columns},
}: CpuKernelArgs<Packed & Record<'ids', tf.TensorInfo>, OwLoreUnpackRowsAttrs>): tf.TensorInfo {
  const rows = Math.floor((2 * packed.shape[0]!) / columns);
  const {values} = backend.data.get(ids.dataId);
  return unpack(packed, backend, [...ids.shape, columns], (copy) => {
    values.forEach((id, i) => {
      tf.util.assert(
        id >= 0 && id < rows,
        () => `OwLoreUnpackRows on cpu: the id ${id} is not in [0, ${rows - 1}]`,
      );
      copy(id * columns, i * columns, columns);
    });
  });
}

/** A result of this shape, filled by calls that copy and widen `count` numbers. */
function unpack(
  packed: tf.TensorInfo,
  backend: CpuBackend,
  shape: number[],
  fill: (copy: (from: number, to: number, count: number) => void, size: number) => void,
): tf.TensorInfo {
  const words = backend.data.get(packed.dataId).values;
  const bits = new Uint32Array(tf.util.sizeFromShape(shape));
  fill((from, to, count) => {
    for (let i = 0; i < count; i++) {
      const word = words[(from + i) >> 1]!;
      bits[to + i] = (from + i) & 1 ? word & 0xffff0000 : word << 16;
    }
  }, bits.length);
  return backend.makeTensorInfo(shape, 'float32', new Float32Array(bits.buffer));
}
