import * as tf from '@tensorflow/tfjs-core';
import {allocate, type WasmKernel} from './kernel';

type Shape4D = [number, number, number, number];

/**
 * DepthwiseConv2dNativeBackpropFilter, the gradient of a depthwise convolution's filter, which the
 * wasm backend lacks: for each output and each input in its window, input times output's gradient.
 */
export const depthwiseConv2dNativeBackpropFilter: WasmKernel<
  'x' | 'dy',
  tf.DepthwiseConv2dNativeBackpropFilterAttrs
> = ({inputs: {x, dy}, backend, attrs}) => {
  const info = convolution(x.shape, attrs.filterShape, attrs);
  const out = allocate(backend, attrs.filterShape);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const values = backend.typedArrayFromHeap(x);
  const gradients = backend.typedArrayFromHeap(dy);
  const sums = backend.typedArrayFromHeap(out).fill(0);
  const {inChannels} = info;
  const multiplier = info.outChannels / inChannels;
  forEachTap(info, (input, output, tap) => {
    for (let channel = 0; channel < inChannels; channel++) {
      const value = values[input + channel]!;
      for (let i = 0; i < multiplier; i++) sums[tap++]! += value * gradients[output++]!;
    }
  });
  return out;
};

/**
 * DepthwiseConv2dNativeBackpropInput, the gradient of its input, which the wasm backend lacks, too:
 * for each output and each input in its window, filter times output's gradient.
 */
export const depthwiseConv2dNativeBackpropInput: WasmKernel<
  'dy' | 'filter',
  tf.DepthwiseConv2dNativeBackpropInputAttrs
> = ({inputs: {dy, filter}, backend, attrs}) => {
  const info = convolution(attrs.inputShape, filter.shape, attrs);
  const out = allocate(backend, attrs.inputShape);
  // The arrays are made after the allocation: growing the heap detaches older ones.
  const weights = backend.typedArrayFromHeap(filter);
  const gradients = backend.typedArrayFromHeap(dy);
  const sums = backend.typedArrayFromHeap(out).fill(0);
  const {inChannels} = info;
  const multiplier = info.outChannels / inChannels;
  forEachTap(info, (input, output, tap) => {
    for (let channel = 0; channel < inChannels; channel++) {
      let sum = 0;
      for (let i = 0; i < multiplier; i++) sum += weights[tap++]! * gradients[output++]!;
      sums[input + channel]! += sum;
    }
  });
  return out;
};

function convolution(
  inputShape: number[],
  filterShape: number[],
  attrs: tf.DepthwiseConv2dNativeBackpropInputAttrs | tf.DepthwiseConv2dNativeBackpropFilterAttrs,
): tf.backend_util.Conv2DInfo {
  return tf.backend_util.computeConv2DInfo(
    inputShape as Shape4D,
    filterShape as Shape4D,
    attrs.strides,
    attrs.dilations,
    attrs.pad,
    attrs.dimRoundingMode,
    true,
  );
}

/**
 * Calls `visit` for each output pixel and each input pixel in its window, with where in memory the
 * channels of both and the filter's weights for this pair start. Channels last.
 */
function forEachTap(
  info: tf.backend_util.Conv2DInfo,
  visit: (input: number, output: number, tap: number) => void,
): void {
  const {inHeight, inWidth, inChannels, outChannels, filterHeight, filterWidth} = info;
  let output = 0;
  for (let batch = 0; batch < info.batchSize; batch++) {
    for (let outRow = 0; outRow < info.outHeight; outRow++) {
      for (let outColumn = 0; outColumn < info.outWidth; outColumn++) {
        for (let i = 0; i < filterHeight; i++) {
          const row = outRow * info.strideHeight - info.padInfo.top + i * info.dilationHeight;
          if (row < 0 || row >= inHeight) continue;
          for (let j = 0; j < filterWidth; j++) {
            const column =
              outColumn * info.strideWidth - info.padInfo.left + j * info.dilationWidth;
            if (column < 0 || column >= inWidth) continue;
            const input = ((batch * inHeight + row) * inWidth + column) * inChannels;
            visit(input, output, (i * filterWidth + j) * outChannels);
          }
        }
        output += outChannels;
      }
    }
  }
}
