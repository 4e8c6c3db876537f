import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';
import {runKernel} from '../../../src/kernels/run_kernel';

/** A shape, one of its axes, and the sizes of parts along it. */
const splits = fc
  .tuple(
    fc.array(fc.integer({min: 1, max: 5}), {minLength: 1, maxLength: 4}),
    fc.nat(3),
    fc.array(fc.nat(4), {minLength: 1, maxLength: 4}),
  )
  .map(([shape, at, parts]) => {
    const axis = at % shape.length;
    const length = parts.reduce((sum, part) => sum + part, 0);
    return [shape.map((size, d) => (d === axis ? length : size)), axis, parts] as const;
  });

describeWasm('SplitV and Unpack on wasm', () => {
  it('split like the cpu backend, in up to four dimensions', () =>
    fc.assert(
      fc.asyncProperty(splits, seeds, async ([shape, axis, parts], seed) => {
        const x = randomOperand([...shape], seed);
        for (const i of parts.keys())
          await expectSameAsCpu([x], (y) => tf.split(y, [...parts], axis)[i]!, 0);
        for (let i = 0; i < shape[axis]!; i++)
          await expectSameAsCpu([x], (y) => tf.unstack(y, axis)[i]!, 0);
      }),
      fuzz(40),
    ));

  it('keep the type, and take texts', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const x = tf.reshape(tf.range(0, 6, 1, 'int32'), [2, 3]);
      const [, last] = tf.split(x, [1, -1], 1);
      expect([last!.dtype, last!.arraySync()]).to.deep.equal(['int32', [[1, 2], [4, 5]]]); // prettier-ignore
      const bools = tf.unstack(tf.greater(x, 2), 1)[2]!;
      expect([bools.dtype, bools.arraySync()]).to.deep.equal(['bool', [0, 1]]);
      const words = tf.tensor1d(['a', 'b', 'c']);
      const parts = runKernel(tf.SplitV, {x: words}, {numOrSizeSplits: [1, 2], axis: 0})!;
      expect(parts[1]!.arraySync()).to.deep.equal(['b', 'c']);
      expect(tf.unstack(words)[2]!.arraySync()).to.equal('c');
    });
  });

  it('refuse what is not within the tensor, and leave nothing behind', async () => {
    await tf.setBackend('wasm');
    const x = tf.ones([3, 4]);
    const before = tf.engine().backend.numDataIds();
    for (const [numOrSizeSplits, axis] of [
      [[2, 3], 1],
      [[-1, -1], 1],
      [[5, -1], 1],
      [[1.5, 2.5], 1],
      [3, 1],
      [0, 1],
      [2, 2],
      ['2', 1],
      [true, 1],
      [[true, 3], 1],
      [null, 1],
    ]) {
      expect(() => runKernel(tf.SplitV, {x}, {numOrSizeSplits, axis})).to.throw(
        /attribute '(numOrSizeSplits' must split 4; got|axis' must be)/,
      );
    }
    expect(() => runKernel(tf.Unpack, {value: x}, {axis: 2})).to.throw(/attribute 'axis' must be/);
    expect(tf.engine().backend.numDataIds()).to.equal(before);
    x.dispose();
  });
});
