import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

describeWasm('UnsortedSegmentSum on wasm', () => {
  it('sums like the cpu backend: repeated, missing, negative and too large ids', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({min: -2, max: 7}), {minLength: 1, maxLength: 40}),
        fc.constantFrom([], [1], [5], [3, 4], [2, 1, 3]),
        fc.integer({min: 1, max: 6}),
        seeds,
        async (ids, rowShape, numSegments, seed) => {
          const rows = randomOperand([ids.length, ...rowShape], seed);
          const idOperand = {shape: [ids.length], values: Int32Array.from(ids)};
          await expectSameAsCpu([rows, idOperand], (x, i) =>
            tf.unsortedSegmentSum(x, i as tf.Tensor1D, numSegments),
          );
        },
      ),
      fuzz(100),
    ));

  it('keeps whole numbers whole', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const ids = tf.tensor1d([2, 0, 2], 'int32');
      const sums = tf.unsortedSegmentSum(tf.tensor1d([1, 2, 3], 'int32'), ids, 3);
      expect(sums.dtype).to.equal('int32');
      expect(sums.arraySync()).to.deep.equal([2, 0, 4]);
    });
  });

  it('is the gradient of a gather along any axis', async () => {
    const ids = {shape: [2, 2], values: Int32Array.from([3, 0, 3, 1])};
    for (const axis of [0, 1]) {
      await expectSameAsCpu([randomOperand([4, 5], 1), ids], (x, i) =>
        tf.grad((table: tf.Tensor) => tf.square(tf.gather(table, i, axis)))(x),
      );
    }
  });
});
