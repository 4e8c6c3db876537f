import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

describeWasm('depthwise convolution on wasm', () => {
  it('has the gradients of the cpu backend for every padding, stride and window', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.constantFrom(0, 1, 3),
          height: fc.integer({min: 5, max: 9}),
          width: fc.integer({min: 5, max: 9}),
          channels: fc.constantFrom(1, 3),
          multiplier: fc.constantFrom(1, 2),
          filterHeight: fc.integer({min: 1, max: 4}),
          filterWidth: fc.integer({min: 1, max: 4}),
          strides: fc.integer({min: 1, max: 3}),
          pad: fc.constantFrom<'valid' | 'same' | number>('valid', 'same', 1),
          seed: seeds,
        }),
        async (c) => {
          const inputShape = [c.batch, c.height, c.width, c.channels] as const;
          const filterShape = [c.filterHeight, c.filterWidth, c.channels, c.multiplier] as const;
          const x = randomOperand([...inputShape], c.seed);
          const filter = randomOperand([...filterShape], c.seed + 1);
          // the shape of the result, and a gradient of it that is the same on both backends
          const info = tf.backend_util.computeConv2DInfo(
            [...inputShape],
            [...filterShape],
            c.strides,
            1,
            c.pad,
            undefined,
            true,
          );
          const dy = randomOperand(info.outShape, c.seed + 2);
          await expectSameAsCpu([x, dy], (image, gradient) =>
            tf
              .engine()
              .runKernel(
                tf.DepthwiseConv2dNativeBackpropFilter,
                {x: image, dy: gradient},
                {strides: c.strides, pad: c.pad, dilations: [1, 1], filterShape: [...filterShape]},
              ),
          );
          await expectSameAsCpu([dy, filter], (gradient, weights) =>
            tf
              .engine()
              .runKernel(
                tf.DepthwiseConv2dNativeBackpropInput,
                {dy: gradient, filter: weights},
                {strides: c.strides, pad: c.pad, dilations: [1, 1], inputShape: [...inputShape]},
              ),
          );
        },
      ),
      fuzz(100),
    ));
});
