import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import type {WasmKernel} from './kernel';
import {sliceOf} from './slice';

type SplitKernel = WasmKernel<'x', tf.SplitVAttrs, never, tf.TensorInfo[]>;
type UnpackKernel = WasmKernel<'value', tf.UnpackAttrs, never, tf.TensorInfo[]>;

/**
 * SplitV by {@link sliceOf}. The stock kernel copies all of `x` for each part, and each row of a part by JavaScript: in a GRU's step, which
 * splits its gates at each point of time.
 *
 * @param stock the kernel that tfjs registers; used for strings, which are not in the backend's memory.
 */
export function createSplit(stock: SplitKernel): SplitKernel {
  return (args) => {
    const {inputs, attrs, backend} = args;
    const {x} = inputs;
    if (x.dtype === 'string') return stock(args);
    const axis = axisOf(x, attrs.axis);
    const lengths = tf.backend_util.prepareSplitSize(x, attrs.numOrSizeSplits, axis);
    return partsOf(backend, x, axis, lengths);
  };
}

/** Unpack likewise. */
export function createUnpack(stock: UnpackKernel): UnpackKernel {
  return (args) => {
    const {inputs, attrs, backend} = args;
    const {value} = inputs;
    if (value.dtype === 'string') return stock(args);
    const axis = axisOf(value, attrs.axis);
    const shape = value.shape.filter((_, d) => d !== axis);
    const parts = partsOf(backend, value, axis, Array<number>(value.shape[axis]!).fill(1));
    return parts.map((part) => ({...part, shape}));
  };
}

function axisOf({shape}: tf.TensorInfo, axis: number): number {
  return (axis + shape.length) % shape.length;
}

/** Parts of these lengths along an axis. */
function partsOf(
  backend: BackendWasm,
  x: tf.TensorInfo,
  axis: number,
  lengths: readonly number[],
): tf.TensorInfo[] {
  let from = 0;
  return lengths.map((length) => {
    const [begin, size] = [x.shape.map(() => 0), [...x.shape]];
    [begin[axis], size[axis]] = [from, length];
    from += length;
    return sliceOf(backend, x, begin, size);
  });
}
