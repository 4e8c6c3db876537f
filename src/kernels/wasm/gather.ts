import * as tf from '@tensorflow/tfjs-core';
import {allocate, type WasmKernel} from './kernel';

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

    for (const id of backend.typedArrayFromHeap(indices)) {
      tf.util.assert(
        id >= 0 && id < dimSize,
        () => `GatherV2: the index value ${id} is not in [0, ${dimSize - 1}]`,
      );
    }
    const out = allocate(backend, outputShape, x.dtype);
    // The arrays are made after the allocation: growing the heap detaches older ones.
    const source = backend.typedArrayFromHeap(x);
    const target = backend.typedArrayFromHeap(out);
    const ids = backend.typedArrayFromHeap(indices);
    const idsPerBatch = ids.length / batchSize;
    let to = 0;
    for (let batch = 0; batch < batchSize; batch++) {
      const batchIds = ids.subarray(batch * idsPerBatch, (batch + 1) * idsPerBatch);
      for (let outer = 0; outer < outerSize; outer++) {
        const from = (batch * outerSize + outer) * dimSize * sliceSize;
        for (const id of batchIds) {
          const start = from + id * sliceSize;
          target.set(source.subarray(start, start + sliceSize), to);
          to += sliceSize;
        }
      }
    }
    return out;
  };
}
