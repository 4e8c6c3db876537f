import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {addressOf, allocate, type WasmKernel} from './kernel';
import {simdModule} from './simd_module';

type SliceKernel = WasmKernel<'x', tf.SliceAttrs>;

/**
 * Slice that copies what it returns and no more, in runs as long as they are contiguous. The stock kernel copies all of `x` first: some
 * rows of a vocabulary's 113 MB took 110 ms.
 *
 * @param stock the kernel that tfjs registers; used for strings, which are not in the backend's memory.
 */
export function createSlice(stock: SliceKernel): SliceKernel {
  return (args) => {
    const {inputs, backend, attrs} = args;
    const {x} = inputs;
    if (x.dtype === 'string' || x.shape.length === 0) return stock(args);
    const [begin, size] = tf.slice_util.parseSliceParams(x, attrs.begin, attrs.size) as [
      begin: number[],
      size: number[],
    ];
    return sliceOf(backend, x, begin, size);
  };
}

/** A part of a tensor of numbers, which begins at `begin` and has the shape `size`. */
export function sliceOf(
  backend: BackendWasm,
  x: tf.TensorInfo,
  begin: readonly number[],
  size: number[],
): tf.TensorInfo {
  const out = allocate(backend, size, x.dtype);
  // Behind this axis all is taken, so that along it the numbers are contiguous.
  let axis = size.length - 1;
  while (axis > 0 && size[axis] === x.shape[axis]) axis--;
  const strides = [...tf.util.computeStrides(x.shape), 1];
  const run = size[axis]! * strides[axis]!;
  // Runs along the axis before it are as far from each other as any two.
  const rows = axis > 0 ? size[axis - 1]! : 1;
  const outer = size.slice(0, Math.max(axis - 1, 0));
  const total = tf.util.sizeFromShape(size);
  const step = strides[axis - 1] ?? 0;
  const copyRows = rowCopier(backend, x, out);
  for (let to = 0, i = 0; to < total; to += rows * run, i++) {
    const place = tf.util.indexToLoc(i, outer.length, tf.util.computeStrides(outer));
    let from = 0;
    for (let d = 0; d <= axis; d++) from += (begin[d]! + (place[d] ?? 0)) * strides[d]!;
    copyRows(from, step, rows, run, to);
  }
  return out;
}

/** Copies rows of `size` numbers, that are `step` numbers apart, to where they are side by side. */
type CopyRows = (from: number, step: number, rows: number, size: number, to: number) => void;

/** By the module, for numbers of 32 bits. */
function rowCopier(backend: BackendWasm, x: tf.TensorInfo, out: tf.TensorInfo): CopyRows {
  const module = simdModule(backend);
  if (module && x.dtype !== 'bool') {
    const [source, target] = [addressOf(backend, x), addressOf(backend, out)];
    return (from, step, rows, size, to) =>
      module.copyRows({
        from: source + 4 * from,
        fromStep: 4 * step,
        rows,
        size,
        to: target + 4 * to,
        toStep: 4 * size,
      });
  }
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const source = backend.typedArrayFromHeap(x);
  const target = backend.typedArrayFromHeap(out);
  return (from, step, rows, size, to) => {
    for (let row = 0; row < rows; row++) {
      const at = from + row * step;
      target.set(source.subarray(at, at + size), to + row * size);
    }
  };
}
