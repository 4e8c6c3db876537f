import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {OwLoreCountAbove, OwLoreMagnitudeSums} from '../../../src/kernels/kernel_names';
import {describeWasm, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

const shapes = fc.constantFrom<number[]>(
  ...[[], [1], [7], [1, 5], [0, 3], [3, 0], [64, 64], [129, 33], [3, 3, 5, 7]],
);
const scales = fc.constantFrom(1e-30, 1e-8, 1, 1e8, 1e30);

interface Case {
  weight: tf.Tensor;
  norm: tf.Tensor;
  /** |weight|·norm, rounded as float32. */
  magnitudes: Float32Array;
}

function randomCase(shape: number[], scale: number, byRow: boolean, seed: number): Case {
  const weight = randomOperand(shape, seed).values.map((x) => x * scale);
  const normShape = byRow ? shape.slice(0, -1) : shape;
  const norm = randomOperand(normShape, seed + 1).values.map(Math.abs);
  const columns = byRow ? (shape.at(-1) ?? 1) : 1;
  return {
    weight: tf.tensor(Float32Array.from(weight), shape),
    norm: tf.tensor(Float32Array.from(norm), normShape),
    magnitudes: Float32Array.from(weight, (w, i) => Math.abs(w) * norm[Math.floor(i / columns)]!),
  };
}

function run(name: string, inputs: tf.NamedTensorMap, attrs: object = {}): number[] {
  const result = tf.engine().runKernel<tf.Tensor>(name, inputs, attrs as tf.NamedAttrMap);
  return Array.from(result.dataSync());
}

const count = ({weight, norm}: Omit<Case, 'magnitudes'>, thresholds: number[]): number[] =>
  run(OwLoreCountAbove, {weight, norm}, {thresholds});

describeWasm(
  'magnitudes on wasm',
  () => {
    before(() => tf.setBackend('wasm'));

    it('are counted exactly', () => {
      fc.assert(
        fc.property(shapes, scales, fc.boolean(), seeds, (shape, scale, byRow, seed) => {
          tf.tidy(() => {
            const {magnitudes, ...inputs} = randomCase(shape, scale, byRow, seed);
            const own = magnitudes[seed % magnitudes.length] ?? 1;
            // a number is not above itself, and is above less of it than float32 sees
            const thresholds = [scale / 4, own, own * (1 - 1e-12), own * (1 + 1e-12), 0, -1, 1e39];
            const expected = thresholds.map((t) => magnitudes.filter((a) => a > t).length);
            expect(count(inputs, thresholds)).to.deep.equal(expected);
          });
        }),
        fuzz(100),
      );
    });

    it('are summed up to the rounding of each sum', () => {
      fc.assert(
        fc.property(shapes, scales, fc.boolean(), seeds, (shape, scale, byRow, seed) => {
          tf.tidy(() => {
            const {magnitudes, ...inputs} = randomCase(shape, scale, byRow, seed);
            const expected = magnitudes.reduce((sum, a) => sum + a, 0);
            const actual = run(OwLoreMagnitudeSums, inputs).reduce((sum, a) => sum + a, 0);
            expect(actual).to.be.closeTo(expected, 2 ** -23 * expected + 1e-44);
          });
        }),
        fuzz(100),
      );
    });

    it('are above a threshold if infinite, not if NaN', () => {
      tf.tidy(() => {
        const weight = tf.tensor1d([1, NaN, -Infinity, 2, 0, NaN, Infinity]);
        const inputs = {weight, norm: tf.ones([7])};
        expect(count(inputs, [1, 0, -1, 1e39, Infinity])).to.deep.equal([3, 4, 5, 2, 0]);
        expect(count(inputs, [])).to.deep.equal([]);
      });
    });

    it('need a norm for each entry or row', () => {
      tf.tidy(() => {
        const inputs = {weight: tf.zeros([3, 2]), norm: tf.zeros([2])};
        expect(() => count(inputs, [1])).to.throw(
          "input 'norm' must have a number for each entry or each row of weight [3,2]; got [2]",
        );
      });
    });
  },
  ['auto'],
);
