import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

/** Across the block sizes of the module's product (120 rows, 696 columns, 352 of the inner size). */
const rows = fc.constantFrom(1, 7, 8, 9, 119, 131);
const inner = fc.constantFrom(1, 31, 351, 354, 720);
const columns = fc.constantFrom(1, 5, 8, 63, 703);
const scales = fc.constantFrom(1e-30, 1e-15, 1, 1e15, 1e30);

interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

function randomMatrix(rows: number, columns: number, scale: number, seed: number): Matrix {
  const values = randomOperand([rows, columns], seed).values.map((x) => x * scale);
  return {rows, columns, values: Float32Array.from(values)};
}

function multiply(a: Matrix, b: Matrix): tf.TypedArray {
  return tf.tidy(() => {
    const product = tf.matMul(
      tf.tensor(a.values, [a.rows, a.columns]),
      tf.tensor(b.values, [b.rows, b.columns]),
    );
    expect(product.shape).to.deep.equal([a.rows, b.columns]);
    return product.dataSync();
  });
}

describeWasm('extreme values on wasm', () => {
  it('BatchMatMul has the error of single precision at any scale', () =>
    fc.assert(
      fc.property(
        ...([rows, inner, columns, scales, scales, seeds] as const),
        (m, k, n, scaleA, scaleB, seed) => {
          fc.pre(scaleA * scaleB < 1e35);
          const a = randomMatrix(m, k, scaleA, seed);
          const b = randomMatrix(k, n, scaleB, seed + 1);
          const product = multiply(a, b);
          // some elements of each row, against sums in double precision
          for (let i = 0; i < m; i++) {
            for (let j = i % 7; j < n; j += 7) {
              let sum = 0;
              let magnitude = 0;
              for (let p = 0; p < k; p++) {
                const term = a.values[i * k + p]! * b.values[p * n + j]!;
                sum += term;
                magnitude += Math.abs(term);
              }
              // Higham 2002, 3.1: k rounding errors of 2⁻²⁴; and where a term underflows, 2⁻¹⁴⁹
              const bound = (k + 1) * (magnitude * 2 ** -24 + 2 ** -149);
              expect(product[i * n + j]! - sum).to.be.within(-bound, bound);
            }
          }
        },
      ),
      fuzz(40),
    ));

  it('BatchMatMul keeps infinities and NaN to their rows and columns', () =>
    fc.assert(
      fc.property(rows, inner, columns, seeds, (m, k, n, seed) => {
        const a = randomMatrix(m, k, 1, seed);
        const b = randomMatrix(k, n, 1, seed + 1);
        const [row, column] = [seed % m, seed % n];
        a.values[row * k + (seed % k)] = Infinity;
        b.values[(seed % k) * n + column] = NaN;
        const product = multiply(a, b);
        const wrong = product.findIndex((value, at) => {
          const [i, j] = [Math.floor(at / n), at % n];
          return j === column ? !Number.isNaN(value) : Number.isFinite(value) === (i === row);
        });
        expect(product[wrong], `value ${wrong}`).to.equal(undefined);
      }),
      fuzz(20),
    ));

  it('UnsortedSegmentSum adds them to their segment only', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([Infinity, 1, 1e30, 1e-30, NaN, 2, 1e30, 1e-30], [4, 2]);
      const sums = tf.unsortedSegmentSum(x, tf.tensor1d([0, 1, 2, 1], 'int32'), 4);
      expect(Array.from(sums.dataSync(), (v) => (Number.isFinite(v) ? Math.fround(v) : v))).to.eql(
        [Infinity, 1, 2e30, 2e-30, NaN, 2, 0, 0].map(Math.fround),
      );
    });
  });
});
