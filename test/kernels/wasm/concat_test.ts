import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

describeWasm('Concat on wasm', () => {
  it('joins like the cpu backend, along any axis, short rows and long, empty ones too', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom<number[]>([7], [5, 16], [4, 3, 70], [2, 1, 3, 5]),
        fc.nat({max: 3}),
        fc.array(fc.constantFrom(0, 1, 3, 66), {minLength: 1, maxLength: 4}),
        seeds,
        async (shape, axis, lengths, seed) => {
          fc.pre(axis < shape.length);
          const parts = lengths.map((length, i) =>
            randomOperand(
              shape.map((size, d) => (d === axis ? length : size)),
              seed + i,
            ),
          );
          await expectSameAsCpu(parts, (...x) => tf.concat(x, axis), 0);
        },
      ),
      fuzz(100),
    ));

  it('keeps the type: whole numbers, bools and words', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const ints = tf.tensor2d([[1], [2 ** 24 + 1]], [2, 1], 'int32');
      const joined = tf.concat([ints, ints], 1);
      expect([joined.dtype, joined.arraySync()]).to.eql(['int32', [[1, 1], [2 ** 24 + 1, 2 ** 24 + 1]]]); // prettier-ignore
      const bools = tf.tensor2d([[true], [false]], [2, 1], 'bool');
      expect(tf.concat([bools, bools], 1).dataSync()).to.eql(new Uint8Array([1, 1, 0, 0]));
      expect(tf.concat([tf.tensor1d(['a']), tf.tensor1d(['b'])]).arraySync()).to.eql(['a', 'b']);
    });
  });

  it('refuses shapes that do not fit, and leaves nothing behind', async () => {
    await tf.setBackend('wasm');
    const x = tf.ones([3, 4]);
    const before = tf.engine().backend.numDataIds();
    expect(() => tf.tidy(() => tf.concat([x, tf.ones([4, 4])], 1))).to.throw(/must match|shape/);
    expect(tf.engine().backend.numDataIds()).to.equal(before);
    x.dispose();
  });
});
