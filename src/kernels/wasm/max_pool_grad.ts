import * as tf from '@tensorflow/tfjs-core';
import {allocate, type WasmKernel} from './kernel';

/**
 * MaxPoolGrad: adds each output's gradient to the first largest input of its window, on the heap.
 *
 * The stock kernel looks for a maximum above 0 (it starts from C's `numeric_limits<float>::min()`,
 * the smallest positive number) and gives a window without positive inputs no gradient.
 */
export const maxPoolGrad: WasmKernel<'dy' | 'input', tf.MaxPoolGradAttrs> = ({
  inputs: {dy, input},
  backend,
  attrs: {filterSize, strides, pad, dimRoundingMode},
}) => {
  const shape = input.shape as [number, number, number, number];
  const info = tf.backend_util.computePool2DInfo(
    shape,
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  const out = allocate(backend, shape, input.dtype);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const values = backend.typedArrayFromHeap(input);
  const gradients = backend.typedArrayFromHeap(dy);
  const sums = backend.typedArrayFromHeap(out).fill(0);

  const {inHeight, inWidth, inChannels, filterHeight, filterWidth} = info;
  const largestIn = (batch: number, top: number, left: number, channel: number): number => {
    let largest = -1;
    for (let row = Math.max(top, 0); row < Math.min(top + filterHeight, inHeight); row++) {
      for (
        let column = Math.max(left, 0);
        column < Math.min(left + filterWidth, inWidth);
        column++
      ) {
        const i = ((batch * inHeight + row) * inWidth + column) * inChannels + channel;
        if (largest < 0 || values[i]! > values[largest]!) largest = i;
      }
    }
    return largest;
  };

  let position = 0;
  for (let batch = 0; batch < info.batchSize; batch++) {
    for (let row = 0; row < info.outHeight; row++) {
      for (let column = 0; column < info.outWidth; column++) {
        const top = row * info.strideHeight - info.padInfo.top;
        const left = column * info.strideWidth - info.padInfo.left;
        for (let channel = 0; channel < inChannels; channel++) {
          sums[largestIn(batch, top, left, channel)]! += gradients[position++]!;
        }
      }
    }
  }
  return out;
};
