import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {OwLoreCountAbove, OwLoreMagnitudeSums} from '../../../src/kernels/kernel_names';
import {describeWebgpu, exponents, randomOperand, run, seeds, type Operand} from './compare';
import {countDispatches} from '../../../tools/count_dispatches';
import {runKernel} from '../../../tools/webgpu_updates';
import {fuzz} from '../../support/fuzz';

/** A = |weight|·norm, rounded as float32. */
function magnitudes(weight: Operand, norm: Operand): Float32Array {
  const columns = weight.shape.at(-1) ?? 1;
  const byRow = norm.values.length !== weight.values.length;
  return weight.values.map(
    (w, i) => Math.abs(w) * norm.values[byRow ? Math.floor(i / columns) : i]!,
  );
}

const count = async (weight: Operand, norm: Operand, thresholds: number[]): Promise<number[]> => {
  const [result] = await run('webgpu', {weight, norm}, (inputs) =>
    runKernel(OwLoreCountAbove, inputs, {thresholds}),
  );
  expect(result!.shape).to.deep.equal([thresholds.length]);
  return [...result!.values];
};

const shapes = fc.constantFrom<number[][]>(
  [],
  [1],
  [7],
  [1, 5],
  [64, 64],
  [129, 33],
  [3, 3, 5, 7],
  [2000, 13],
);

function randomCase(
  shape: number[],
  seed: number,
  exponents: number[],
  byRow: boolean,
): {weight: Operand; norm: Operand} {
  const weight = randomOperand(shape, seed, {exponents});
  const norm = randomOperand(byRow ? shape.slice(0, -1) : shape, seed + 1);
  return {weight, norm: {...norm, values: norm.values.map(Math.abs)}};
}

describeWebgpu('OwLoreCountAbove [webgpu]', () => {
  it('counts exactly', async () => {
    const property = fc.asyncProperty(
      shapes,
      seeds,
      exponents,
      fc.boolean(),
      async (shape, seed, powers, byRow) => {
        const {weight, norm} = randomCase(shape, seed, powers, byRow);
        const values = magnitudes(weight, norm);
        const mean = values.reduce((sum, a) => sum + a, 0) / values.length;
        // Some are numbers of the weight itself, which are not above themselves; 1e-20 of it is less than float32 sees.
        const own = values[seed % values.length]!;
        const thresholds = [mean, 3 * mean, own, own * (1 - 1e-12), own * (1 + 1e-12), 0, 1e39];
        const expected = thresholds.map((t) => values.filter((a) => a > t).length);
        expect(await count(weight, norm, thresholds)).to.deep.equal(expected);
      },
    );
    await fc.assert(property, fuzz(20));
  });

  it('counts a weight of more parts than a workgroup has threads', async () => {
    const {weight, norm} = randomCase([1250, 1000], 3, [0], true);
    const expected = magnitudes(weight, norm).filter((a) => a > 0.5).length;
    expect(await count(weight, norm, [0.5])).to.deep.equal([expected]);
  });

  it('counts infinite entries, not NaN', async () => {
    const weight = {shape: [5], values: new Float32Array([1, NaN, -Infinity, 2, 0])};
    const norm = {shape: [5], values: new Float32Array([1, 1, 1, 1, 1])};
    expect(await count(weight, norm, [1, 0, -1, 1e39, Infinity])).to.deep.equal([2, 3, 4, 1, 0]);
  });

  it('takes a weight without entries, and no thresholds', async () => {
    const empty = {shape: [0, 3], values: new Float32Array()};
    expect(await count(empty, empty, [1, 2])).to.deep.equal([0, 0]);
    const one = {shape: [1], values: new Float32Array([1])};
    expect(await count(one, one, [])).to.deep.equal([]);
  });

  it('is two dispatches, for any number of thresholds', () => {
    tf.tidy(() => {
      const inputs = {weight: tf.zeros([300, 200]), norm: tf.zeros([300])};
      const thresholds = [13, 11, 9];
      expect(countDispatches(() => runKernel(OwLoreCountAbove, inputs, {thresholds}))).to.equal(2);
    });
  });

  it('refuses norms of another number', () => {
    tf.tidy(() => {
      const inputs = {weight: tf.zeros([3, 2]), norm: tf.zeros([2])};
      expect(() => runKernel(OwLoreCountAbove, inputs, {thresholds: [1]})).to.throw('got [2]');
    });
  });
});

describeWebgpu('OwLoreMagnitudeSums [webgpu]', () => {
  it('sums up to the mean', async () => {
    const property = fc.asyncProperty(shapes, seeds, fc.boolean(), async (shape, seed, byRow) => {
      const {weight, norm} = randomCase(shape, seed, [-2, 0], byRow);
      const [result] = await run('webgpu', {weight, norm}, (inputs) =>
        runKernel(OwLoreMagnitudeSums, inputs),
      );
      const expected = magnitudes(weight, norm).reduce((sum, a) => sum + a, 0);
      const actual = (result!.values as Float32Array).reduce((sum, a) => sum + a, 0);
      // A sum of positive numbers in a tree 24 deep, at most.
      expect(actual).to.be.closeTo(expected, 24 * 2 ** -24 * expected);
    });
    await fc.assert(property, fuzz(15));
  });

  it('gives no sums of no entries', async () => {
    const empty = {shape: [3, 0], values: new Float32Array()};
    const [result] = await run('webgpu', {weight: empty, norm: empty}, (inputs) =>
      runKernel(OwLoreMagnitudeSums, inputs),
    );
    expect(result!.shape).to.deep.equal([0]);
  });

  it('is one dispatch', () => {
    tf.tidy(() => {
      const inputs = {weight: tf.zeros([300, 200]), norm: tf.zeros([300])};
      expect(countDispatches(() => runKernel(OwLoreMagnitudeSums, inputs))).to.equal(1);
    });
  });
});
