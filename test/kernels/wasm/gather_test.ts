import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

describeWasm('GatherV2 on wasm', () => {
  it('gathers like the cpu backend, along any axis, slices short and long', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom<number[]>([7], [5, 16], [4, 3, 20], [2, 5, 17], [3, 2, 4, 5], [2, 0, 16]),
        fc.nat({max: 3}),
        fc.constantFrom<number[]>([0], [1], [6], [2, 3]),
        seeds,
        async (shape, axis, indexShape, seed) => {
          fc.pre(axis < shape.length && shape[axis]! > 0);
          const random = randomOperand(indexShape, seed + 1).values;
          const ids = {
            shape: indexShape,
            values: Int32Array.from(random, (value) => Math.abs(value) * shape[axis]!),
          };
          await expectSameAsCpu(
            [randomOperand(shape, seed), ids],
            (x, i) => tf.gather(x, i, axis),
            0,
          );
        },
      ),
      fuzz(100),
    ));

  it('gathers whole numbers, and batch by batch', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const x = tf.reshape(tf.range(0, 64, 1, 'int32'), [2, 2, 16]);
      const ids = tf.tensor2d([[1], [0]], [2, 1], 'int32');
      expect(tf.gather(x, ids, 1).dtype).to.equal('int32');
      expect(tf.gather(x, ids, 1).dataSync()[0]).to.equal(16);
      expect(Array.from(tf.gather(x, ids, 1, 1).dataSync().slice(15, 17))).to.deep.equal([31, 32]);
    });
  });

  it('refuses an index out of range, and leaves nothing behind', async () => {
    await tf.setBackend('wasm');
    const x = tf.ones([3, 16]);
    for (const id of [3, -1]) {
      const before = tf.engine().backend.numDataIds();
      expect(() => tf.tidy(() => tf.gather(x, tf.tensor1d([0, id], 'int32')))).to.throw(
        `GatherV2: the index value ${id} is not in [0, 2]`,
      );
      expect(tf.engine().backend.numDataIds()).to.equal(before);
    }
    x.dispose();
  });
});
