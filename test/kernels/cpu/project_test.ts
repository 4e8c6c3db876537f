import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {installKernels} from '../../../src/kernels/cpu';
import {OwLoreProject, SIDES} from '../../../src/kernels/kernel_names';
import {runKernel} from '../../../src/kernels/run_kernel';
import {defaultBackend} from '../../support/backends';

describe('OwLoreProject on cpu', () => {
  before(async () => {
    await tf.setBackend('cpu');
    await installKernels();
  });
  after(() => tf.setBackend(defaultBackend));

  // sizes on both sides of the four rows that are taken at a time
  for (const [rows, columns, rank] of [
    [1, 1, 1],
    [3, 5, 2],
    [8, 12, 4],
    [13, 7, 6],
  ] as const) {
    for (const side of SIDES) {
      it(`is a product of matrices: ${side}, [${rows}, ${columns}] at rank ${rank}`, () => {
        const before = tf.memory().numTensors;
        tf.tidy(() => {
          const gradient = tf.randomNormal<tf.Rank.R2>([rows, columns], 0, 1, 'float32', 1);
          const m = side === 'left' ? rows : columns;
          const basis = tf.randomNormal<tf.Rank.R2>([m, rank], 0, 1, 'float32', 2);
          const [r] = runKernel(OwLoreProject, {gradient, basis}, {side})!;
          const product =
            side === 'left' ? tf.matMul(basis, gradient, true) : tf.matMul(gradient, basis);
          expect(r!.shape).to.deep.equal(product.shape);
          const expected = product.dataSync();
          // sums of up to 13 products of normal numbers
          r!.dataSync().forEach((value, i) => expect(value).to.be.closeTo(expected[i]!, 1e-5));
        });
        expect(tf.memory().numTensors).to.equal(before);
      });
    }
  }

  it('has an infinite number only where the product has one', () => {
    tf.tidy(() => {
      const gradient = tf.tensor2d([1, 2, 3, 4, Infinity, 6], [3, 2]);
      const basis = tf.tensor2d([1, 0, 0, 1, 1, 1], [3, 2]);
      const [r] = runKernel(OwLoreProject, {gradient, basis}, {side: 'left'})!;
      const product = tf.matMul(basis, gradient, true);
      expect([...r!.dataSync()]).to.deep.equal([...product.dataSync()]);
    });
  });
});
