import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {Matrix, SingularValueDecomposition} from 'ml-matrix';
import {OwLoreLeftSingularVectors, OwLoreOrthonormalize} from '../../../src/kernels/kernel_names';
import {runKernel} from '../../../src/kernels/run_kernel';
import {installKernels, uninstallKernels} from '../../../src/kernels/tensorflow';
import {backends, defaultBackend} from '../../support/backends';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('linear algebra on tensorflow', () => {
  before(async () => {
    await tf.setBackend('tensorflow');
    await installKernels();
  });
  after(() => tf.setBackend(defaultBackend));

  for (const [rows, columns] of [
    [40, 7],
    [9, 9],
    [7, 40],
    [5, 1],
  ] as const) {
    it(`decomposes ${rows}×${columns}`, async () => {
      const before = tf.memory().numTensors;
      const matrix = tf.randomNormal<tf.Rank.R2>([rows, columns], 0, 1, 'float32', rows);
      const own = Matrix.from1DArray(rows, columns, await matrix.data());
      const rank = Math.min(rows, columns);

      const [u] = runKernel(OwLoreLeftSingularVectors, {matrix})!;
      expect(u!.shape).to.deep.equal([rows, rank]);
      const vectors = Matrix.from1DArray(rows, rank, await u!.data());
      const {diagonal} = new SingularValueDecomposition(own, {autoTranspose: true});
      // UᵀG has rows of the lengths σ₁ ≥ σ₂ ≥ …, orthogonal to each other.
      const products = vectors.transpose().mmul(own);
      const gram = products.mmul(products.transpose());
      for (let i = 0; i < rank; i++) {
        for (let j = 0; j < rank; j++) {
          const expected = i === j ? diagonal[i]! ** 2 : 0;
          // float32, relative to the largest entry
          expect(gram.get(i, j)).to.be.closeTo(expected, 1e-5 * diagonal[0]! ** 2);
        }
      }

      if (rows >= columns) {
        const [q] = runKernel(OwLoreOrthonormalize, {matrix})!;
        expect(q!.shape).to.deep.equal([rows, columns]);
        const basis = Matrix.from1DArray(rows, columns, await q!.data());
        const identity = basis.transpose().mmul(basis);
        expect(Matrix.sub(identity, Matrix.eye(columns)).norm('frobenius')).to.be.below(1e-5);
        // Q Qᵀ G = G: the same space; QᵀG is triangular: the same order.
        const triangle = basis.transpose().mmul(own);
        expect(Matrix.sub(basis.mmul(triangle), own).norm('frobenius')).to.be.below(1e-4);
        for (let i = 0; i < columns; i++) {
          for (let j = 0; j < i; j++) expect(triangle.get(i, j)).to.be.closeTo(0, 1e-4);
        }
        q!.dispose();
      }
      tf.dispose([matrix, u!]);
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  it('is installed once and taken back', async () => {
    const kernel = tf.getKernel(OwLoreOrthonormalize, 'tensorflow');
    await installKernels();
    expect(tf.getKernel(OwLoreOrthonormalize, 'tensorflow')).to.equal(kernel);
    uninstallKernels();
    uninstallKernels();
    expect(tf.getKernel(OwLoreOrthonormalize, 'tensorflow')).to.equal(undefined);
    await installKernels();
  });
});
