import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

describeWasm('Conv2DBackpropFilter on wasm', () => {
  it('has the gradient of the cpu backend for every padding, stride and window', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.constantFrom(1, 3),
          height: fc.integer({min: 5, max: 9}),
          width: fc.integer({min: 5, max: 9}),
          inChannels: fc.constantFrom(1, 3),
          outChannels: fc.constantFrom(1, 4),
          filterHeight: fc.integer({min: 1, max: 4}),
          filterWidth: fc.integer({min: 1, max: 4}),
          strides: fc.integer({min: 1, max: 3}),
          pad: fc.constantFrom<'valid' | 'same' | tf.backend_util.ExplicitPadding>(
            'valid',
            'same',
            [
              [0, 0],
              [2, 1],
              [0, 1],
              [0, 0],
            ],
          ),
          seed: seeds,
        }),
        async (c) => {
          const x = randomOperand([c.batch, c.height, c.width, c.inChannels], c.seed);
          const filterShape = [c.filterHeight, c.filterWidth, c.inChannels, c.outChannels];
          const filter = randomOperand(filterShape, c.seed + 1);
          await expectSameAsCpu([x, filter], (image, kernel) => {
            const convolve = (w: tf.Tensor): tf.Tensor =>
              tf.conv2d(image as tf.Tensor4D, w as tf.Tensor4D, c.strides, c.pad);
            const {shape, size} = convolve(kernel);
            // The same on both backends, whatever their forward passes give.
            const dy = tf.reshape(tf.sin(tf.range(0, size)), shape);
            return tf.grad(convolve)(kernel, dy);
          });
        },
      ),
      fuzz(100),
    ));

  it('reads nothing behind its tensor where a number of pixels to pad gives too little for the output', async () => {
    const x = randomOperand([1, 2, 5, 1], 3);
    // the output that tfjs computes from the filter's height and the vertical stride alone
    const dy = randomOperand([1, 3, 6, 1], 4);
    const attrs = {strides: [1, 3], pad: 1, dataFormat: 'NHWC', filterShape: [2, 2, 1, 1]};
    await expectSameAsCpu([x, dy], (image, gradient) =>
      tf.engine().runKernel<tf.Tensor>(tf.Conv2DBackpropFilter, {x: image, dy: gradient}, attrs),
    );
  });

  it('refuses channels first, as the forward kernel does', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const inputs = {x: tf.ones([1, 2, 4, 4]), dy: tf.ones([1, 3, 4, 4])};
      const attrs = {strides: 1, pad: 'same', dataFormat: 'NCHW', filterShape: [1, 1, 2, 3]};
      expect(() => tf.engine().runKernel(tf.Conv2DBackpropFilter, inputs, attrs)).to.throw(
        /dataFormat must be 'NHWC' on the wasm backend; got 'NCHW'/,
      );
    });
  });
});
