import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWebgpu, randomOperand, run, seeds} from './compare';

describeWebgpu('UnsortedSegmentSum on webgpu', () => {
  it('adds the rows of a segment in their order, to the last bit', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({min: -2, max: 7}), {minLength: 1, maxLength: 40}),
        fc.constantFrom([], [1], [5], [3, 4], [16]),
        fc.integer({min: 1, max: 6}),
        seeds,
        async (ids, rowShape, numSegments, seed) => {
          const x = randomOperand([ids.length, ...rowShape], seed, {exponents: [-3, 0, 3]});
          const [actual] = await run('webgpu', {x}, ({x}) => [
            tf.unsortedSegmentSum(x!, tf.tensor1d(ids, 'int32'), numSegments),
          ]);
          const size = x.values.length / ids.length;
          const sums = new Float32Array(numSegments * size);
          ids.forEach((id, row) => {
            if (id < 0 || id >= numSegments) return;
            for (let i = 0; i < size; i++) sums[id * size + i]! += x.values[row * size + i]!;
          });
          expect(actual!.shape).to.deep.equal([numSegments, ...rowShape]);
          expect(actual!.values).to.deep.equal(sums);
        },
      ),
      {numRuns: 40},
    ));

  it('keeps whole numbers whole, and is zero where there are no rows', async () => {
    const [sums, none] = await run('webgpu', {}, () => [
      tf.unsortedSegmentSum(tf.tensor1d([1, 2, 3], 'int32'), tf.tensor1d([2, 0, 2], 'int32'), 3),
      tf.unsortedSegmentSum(tf.zeros([0, 2]), tf.tensor1d([], 'int32'), 2),
    ]);
    expect(sums!.values).to.deep.equal(new Int32Array([2, 0, 4]));
    expect(none).to.deep.equal({shape: [2, 2], values: new Float32Array(4)});
  });
});
