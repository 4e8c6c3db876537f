import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fc from 'fast-check';
import {describeWasm, expectSameAsCpu, randomOperand, seeds} from './compare';
import {fuzz} from '../../support/fuzz';

/** Odd ones, ones of the stock kernel's block size 48, and some that are no multiple of a tile. */
const dimension = fc.constantFrom(1, 2, 3, 5, 16, 17, 33, 48, 67);
const batches = fc.constantFrom<[number[], number[]]>(
  [[], []],
  [[3], [3]],
  [[3], []],
  [[], [3]],
  [[1], [4]],
  [[4], [1]],
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
  [[3], [2, 3]],
  [
    [2, 3],
    [1, 1],
  ],
);

function matrixShape(
  batch: number[],
  rows: number,
  columns: number,
  transposed: boolean,
): number[] {
  return [...batch, ...(transposed ? [columns, rows] : [rows, columns])];
}

describeWasm('BatchMatMul on wasm', () => {
  it('multiplies like the cpu backend, for all transposes, batches and broadcasts', () =>
    fc.assert(
      fc.asyncProperty(
        ...([batches, dimension, dimension, dimension, fc.boolean(), fc.boolean(), seeds] as const),
        async ([batchA, batchB], rows, inner, columns, transposeA, transposeB, seed) => {
          const a = randomOperand(matrixShape(batchA, rows, inner, transposeA), seed);
          const b = randomOperand(matrixShape(batchB, inner, columns, transposeB), seed + 1);
          await expectSameAsCpu([a, b], (x, y) => tf.matMul(x, y, transposeA, transposeB));
        },
      ),
      fuzz(150),
    ));

  it('multiplies a few rows with a matrix that is read in pieces, from eight places', async () => {
    // around the eight places and the columns that are worked on at a time
    for (const [inner, columns] of [
      [7, 513],
      [8, 1030],
      [67, 512],
      [517, 9],
    ] as const) {
      for (const rows of [1, 2, 8]) {
        for (const transposeB of [false, true]) {
          const a = randomOperand([rows, inner], rows);
          const b = randomOperand(matrixShape([], inner, columns, transposeB), columns);
          await expectSameAsCpu([a, b], (x, y) => tf.matMul(x, y, false, transposeB));
        }
      }
    }
  });

  it('broadcasts batch axes of both operands, which the cpu backend cannot', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const a = tf.randomUniform([4, 1, 20, 30]);
      const b = tf.randomUniform([1, 3, 30, 20]);
      const expected = tf.matMul(tf.tile(a, [1, 3, 1, 1]), tf.tile(b, [4, 1, 1, 1]));
      const product = tf.matMul(a, b);
      expect(product.shape).to.deep.equal([4, 3, 20, 20]);
      expect(product.dataSync()).to.deep.equal(expected.dataSync());
    });
  });

  it('gives zeros for an empty sum and nothing for an empty product', () =>
    fc.assert(
      fc.asyncProperty(fc.boolean(), fc.boolean(), async (transposeA, transposeB) => {
        for (const [rows, inner, columns] of [
          [3, 0, 2],
          [0, 3, 2],
          [3, 2, 0],
        ] as const) {
          const a = randomOperand(matrixShape([2], rows, inner, transposeA), 1);
          const b = randomOperand(matrixShape([2], inner, columns, transposeB), 2);
          await expectSameAsCpu([a, b], (x, y) => tf.matMul(x, y, transposeA, transposeB));
        }
      }),
      fuzz(100),
    ));

  it('has the gradients of the cpu backend', async () => {
    const a = randomOperand([2, 17, 19], 1);
    const b = randomOperand([2, 19, 23], 2);
    for (const argument of [0, 1]) {
      await expectSameAsCpu(
        [a, b],
        (x, y) => tf.grads((u: tf.Tensor, v: tf.Tensor) => tf.matMul(u, v))([x, y])[argument]!,
      );
    }
  });

  it('sees a new value of a weight', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      const x = tf.ones([3, 20]);
      const w = tf.variable(tf.ones([20, 20]));
      tf.matMul(x, w);
      w.assign(tf.fill([20, 20], 2));
      expect(tf.matMul(x, w).dataSync()[0]).to.equal(40);
      expect(tf.matMul(x, w, false, true).dataSync()[0]).to.equal(40);
      w.dispose();
    });
  });

  it('refuses inner sizes and types that do not match', async () => {
    await tf.setBackend('wasm');
    tf.tidy(() => {
      expect(() => tf.matMul(tf.ones([2, 3]), tf.ones([2, 3]))).to.throw(
        /inner shapes \(3\) and \(2\)/,
      );
      const ids = tf.ones([2, 2], 'int32');
      expect(() => tf.matMul(ids, ids)).to.throw(/not yet supported/);
    });
  });
});
