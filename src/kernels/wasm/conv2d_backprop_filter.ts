import * as tf from '@tensorflow/tfjs-core';
import {callKernel, withShape, type WasmKernel} from './kernel';

/** Attributes of StridedSlice that take begin, end and strides as they are. */
const NO_MASKS = {beginMask: 0, endMask: 0, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0};

/**
 * Conv2DBackpropFilter, the gradient of a convolution's kernel, which the wasm backend lacks.
 *
 * For each position in the filter window it multiplies the input pixels that this position saw,
 * `[pixels, in]`, transposed, with the output's gradient, `[pixels, out]`. Channels must be last, as in the
 * backend's forward convolution.
 */
export const conv2DBackpropFilter: WasmKernel<'x' | 'dy', tf.Conv2DBackpropFilterAttrs> = ({
  inputs: {x, dy},
  backend,
  attrs,
}) => {
  const {strides, pad, dataFormat, dimRoundingMode, filterShape} = attrs;
  if (dataFormat !== 'NHWC') {
    throw new Error(
      `Conv2DBackpropFilter: dataFormat must be 'NHWC' on the wasm backend; got '${dataFormat}'`,
    );
  }
  const info = tf.backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filterShape,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  const {batchSize, inChannels, outChannels, outHeight, outWidth, strideHeight, strideWidth} = info;
  const {top, bottom, left, right} = info.padInfo;
  // `pad` as a number may stand for more output than the padded input gives, where the two strides or sides of the filter differ
  const lacksRows =
    info.filterHeight + (outHeight - 1) * strideHeight - (info.inHeight + top + bottom);
  const lacksColumns =
    info.filterWidth + (outWidth - 1) * strideWidth - (info.inWidth + left + right);
  const paddings = [
    [0, 0],
    [top, bottom + Math.max(0, lacksRows)],
    [left, right + Math.max(0, lacksColumns)],
    [0, 0],
  ];
  const padded = callKernel(tf.PadV2, backend, {x}, {paddings, constantValue: 0});
  const pixels = batchSize * outHeight * outWidth;

  const products: tf.TensorInfo[] = [];
  for (let row = 0; row < info.filterHeight; row++) {
    for (let column = 0; column < info.filterWidth; column++) {
      const lastRow = row + (outHeight - 1) * strideHeight;
      const lastColumn = column + (outWidth - 1) * strideWidth;
      const seen = callKernel(
        tf.StridedSlice,
        backend,
        {x: padded},
        {
          ...NO_MASKS,
          begin: [0, row, column, 0],
          end: [batchSize, lastRow + 1, lastColumn + 1, inChannels],
          strides: [1, strideHeight, strideWidth, 1],
        },
      );
      const a = withShape(seen, [pixels, inChannels]);
      const b = withShape(dy, [pixels, outChannels]);
      const transposes = {transposeA: true, transposeB: false};
      products.push(callKernel(tf.BatchMatMul, backend, {a, b}, transposes));
      backend.disposeData(seen.dataId);
    }
  }
  backend.disposeData(padded.dataId);

  const out = callKernel(tf.Pack, backend, products, {axis: 0});
  for (const product of products) backend.disposeData(product.dataId);
  out.shape = filterShape;
  return out;
};
