import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

describeWasm('MaxPoolGrad on wasm', () => {
  it('has the gradient of the cpu backend for every padding, stride and window', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.constantFrom(1, 2),
          height: fc.integer({min: 4, max: 9}),
          width: fc.integer({min: 4, max: 9}),
          channels: fc.constantFrom(1, 3),
          filterSize: fc.tuple(fc.integer({min: 1, max: 4}), fc.integer({min: 1, max: 4})),
          strides: fc.tuple(fc.integer({min: 1, max: 3}), fc.integer({min: 1, max: 3})),
          pad: fc.constantFrom<'valid' | 'same'>('valid', 'same'),
          seed: seeds,
        }),
        async (c) => {
          const x = randomOperand([c.batch, c.height, c.width, c.channels], c.seed);
          await expectSameAsCpu([x], (image) => {
            const pool = (z: tf.Tensor): tf.Tensor =>
              tf.maxPool(z as tf.Tensor4D, c.filterSize, c.strides, c.pad);
            const {shape, size} = pool(image);
            const dy = tf.reshape(tf.range(0, size), shape);
            return tf.grad(pool)(image, dy);
          });
        },
      ),
      fuzz(100),
    ));

  it('goes to the largest input where all are negative, to the first of equal ones', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const x = tf.tensor([-3, -1, -2, -4, -5, -5, -5, -5], [2, 2, 2, 1]);
      const pool = (z: tf.Tensor): tf.Tensor => tf.maxPool(z as tf.Tensor4D, 2, 2, 'valid');
      const gradient = tf.grad(pool)(x, tf.tensor([7, 8], [2, 1, 1, 1]));
      expect(Array.from(gradient.dataSync())).to.deep.equal([0, 7, 0, 0, 8, 0, 0, 0]);
    });
  });
});
