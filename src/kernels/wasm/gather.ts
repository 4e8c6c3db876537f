import * as tf from '@tensorflow/tfjs-core';
import {addressOf, allocate, indexOutside, type WasmKernel} from './kernel';
import {simdModule, type SimdModule} from './simd_module';

type GatherKernel = WasmKernel<'x' | 'indices', tf.GatherV2Attrs>;

/** Slices shorter than this take longer to copy one by one than the stock kernel takes for the single numbers. */
const SHORT_SLICE = 16;

/**
 * GatherV2 of contiguous slices, such as the rows of an Embedding, each copied at once. The stock kernel
 * computes the place of every number, reads batches after the first from the wrong place, and leaks two
 * tensors if there are no numbers.
 *
 * @param stock the kernel that tfjs registers; used for short slices without batches.
 */
export function createGather(stock: GatherKernel): GatherKernel {
  return (args) => {
    const {inputs, backend, attrs} = args;
    const {x, indices} = inputs;
    const [axis] = tf.util.parseAxisParam(attrs.axis, x.shape) as [number];
    const {batchSize, outerSize, dimSize, sliceSize, outputShape} =
      tf.backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, attrs.batchDims);
    const isShort = sliceSize < SHORT_SLICE && tf.util.sizeFromShape(x.shape) > 0;
    if (isShort && batchSize === 1) return stock(args);

    const wrong = indexOutside(backend.typedArrayFromHeap(indices), dimSize);
    tf.util.assert(
      wrong === undefined,
      () => `GatherV2: the index value ${wrong} is not in [0, ${dimSize - 1}]`,
    );
    const out = allocate(backend, outputShape, x.dtype);
    const rows = tf.util.sizeFromShape(indices.shape) / batchSize;
    const module = x.dtype === 'bool' ? undefined : simdModule(backend);
    const copy = module ? byModule(module, args, out) : byArrays(args, out);
    for (let i = 0; i < batchSize * outerSize; i++) {
      const firstId = Math.floor(i / outerSize) * rows;
      copy(i * dimSize * sliceSize, firstId, rows, sliceSize, i * rows * sliceSize);
    }
    return out;
  };
}

/** Copies to `to` on, one behind the other, those of the slices of `size` numbers from `from` on that `rows` indices from `firstId` on say. */
type CopySlices = (from: number, firstId: number, rows: number, size: number, to: number) => void;

function byModule(
  module: SimdModule,
  {inputs: {x, indices}, backend}: Parameters<GatherKernel>[0],
  out: tf.TensorInfo,
): CopySlices {
  const [source, ids, target] = [x, indices, out].map((info) => addressOf(backend, info));
  return (from, firstId, rows, size, to) =>
    module.gatherRows({
      x: source! + 4 * from,
      ids: ids! + 4 * firstId,
      rows,
      size,
      y: target! + 4 * to,
    });
}

function byArrays(
  {inputs: {x, indices}, backend}: Parameters<GatherKernel>[0],
  out: tf.TensorInfo,
): CopySlices {
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const [source, ids, target] = [x, indices, out].map((info) => backend.typedArrayFromHeap(info));
  return (from, firstId, rows, size, to) => {
    for (const id of ids!.subarray(firstId, firstId + rows)) {
      const start = from + id * size;
      target!.set(source!.subarray(start, start + size), to);
      to += size;
    }
  };
}
