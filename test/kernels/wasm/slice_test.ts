import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

/** A shape, and for each axis where a slice begins and ends. */
const slices = fc
  .array(fc.nat({max: 5}), {minLength: 1, maxLength: 5})
  .chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      fc.tuple(
        ...shape.map((length) =>
          fc.tuple(fc.nat({max: length}), fc.nat({max: length})).map(([a, b]) => [a, b].sort()),
        ),
      ),
    ),
  );

describeWasm('Slice on wasm', () => {
  it('slices like the cpu backend, in up to five dimensions', () =>
    fc.assert(
      fc.asyncProperty(slices, seeds, async ([shape, ranges], seed) => {
        const begin = ranges.map(([from]) => from!);
        const size = ranges.map(([from, to]) => to! - from!);
        await expectSameAsCpu([randomOperand(shape, seed)], (x) => tf.slice(x, begin, size), 0);
      }),
      fuzz(100),
    ));

  it('takes -1 for all that is left, and keeps the type', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const x = tf.reshape(tf.range(0, 24, 1, 'int32'), [2, 3, 4]);
      const part = tf.slice(x, [1, 1], [-1, -1]);
      expect([part.dtype, part.shape]).to.deep.equal(['int32', [1, 2, 4]]);
      expect(Array.from(part.dataSync())).to.deep.equal([16, 17, 18, 19, 20, 21, 22, 23]);
      const words = tf.slice(tf.tensor1d(['a', 'b', 'c']), 1, 2);
      expect(words.arraySync()).to.deep.equal(['b', 'c']);
    });
  });

  it('refuses what is not within the tensor, and leaves nothing behind', async () => {
    await tf.setBackend('wasm');
    const x = tf.ones([3, 4]);
    const before = tf.engine().backend.numDataIds();
    for (const [begin, size] of [
      [
        [2, 0],
        [2, 4],
      ],
      [
        [0, -1],
        [1, 1],
      ],
      [[0], [2, 5]], // axes of which only the size is given
      [[2], [1, 4, 1]],
    ] as const) {
      expect(() => tf.tidy(() => tf.slice(x, [...begin], [...size]))).to.throw(
        /must be within input 'x'|begin|size/,
      );
    }
    expect(tf.engine().backend.numDataIds()).to.equal(before);
    x.dispose();
  });
});
