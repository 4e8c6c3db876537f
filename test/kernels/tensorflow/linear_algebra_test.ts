import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {Matrix, QrDecomposition, SingularValueDecomposition} from 'ml-matrix';
import {
  OwLoreLeftSingularVectors,
  OwLoreNearlyOrthonormalize,
  OwLoreOrthonormalize,
} from '../../../src/kernels/kernel_names';
import {runKernel} from '../../../src/kernels/run_kernel';
import {installKernels, uninstallKernels} from '../../../src/kernels/tensorflow';
import {kernelHistory} from '../../../src/kernels/tensorflow/install';
import {backends, defaultBackend} from '../../support/backends';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('linear algebra on tensorflow', () => {
  before(async () => {
    await tf.setBackend('tensorflow');
    await installKernels();
  });
  after(async () => {
    uninstallKernels();
    await tf.setBackend(defaultBackend);
  });

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

      // Of columns that are far from dependent both make the same.
      for (const kernel of [OwLoreOrthonormalize, OwLoreNearlyOrthonormalize]) {
        if (rows < columns) continue;
        const [q] = runKernel(kernel, {matrix})!;
        expect(q!.shape).to.deep.equal([rows, columns]);
        const basis = Matrix.from1DArray(rows, columns, await q!.data());
        const identity = basis.transpose().mmul(basis);
        expect(Matrix.sub(identity, Matrix.eye(columns)).norm('frobenius')).to.be.below(1e-5);
        // Q Qᵀ G = G: the same space; QᵀG is triangular: the same order, with a positive diagonal: the signs of the columns.
        const triangle = basis.transpose().mmul(own);
        expect(Matrix.sub(basis.mmul(triangle), own).norm('frobenius')).to.be.below(1e-4);
        for (let i = 0; i < columns; i++) {
          expect(triangle.get(i, i)).to.be.above(0);
          for (let j = 0; j < i; j++) expect(triangle.get(i, j)).to.be.closeTo(0, 1e-4);
        }
        q!.dispose();
      }
      tf.dispose([matrix, u!]);
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  describe('nearly orthonormalizes', () => {
    const nearly = async (own: Matrix): Promise<Matrix> => {
      const [rows, columns] = [own.rows, own.columns];
      const matrix = tf.tensor2d(own.to1DArray(), [rows, columns]);
      const [q] = runKernel(OwLoreNearlyOrthonormalize, {matrix})!;
      const values = await q!.data();
      tf.dispose([matrix, q!]);
      return Matrix.from1DArray(rows, columns, values);
    };
    const random = (rows: number, columns: number): Matrix => {
      const x = tf.randomNormal([rows, columns], 0, 1, 'float32', 3);
      const matrix = Matrix.from1DArray(rows, columns, x.dataSync());
      x.dispose();
      return matrix;
    };

    it('columns that differ by a ten thousandth, and loses no direction', async () => {
      const matrix = random(60, 5);
      for (let i = 1; i < 5; i++) {
        const column = Matrix.add(matrix.getColumnVector(0), matrix.getColumnVector(i).mul(1e-4));
        matrix.setColumn(i, Float32Array.from(column.to1DArray()));
      }
      const q = await nearly(matrix);
      // The last digits of float32, 6e-8, are as large beside the differences as the directions may be off.
      const tolerance = 5 * (6e-8 / 1e-4);
      const exact = new QrDecomposition(matrix).orthogonalMatrix;
      const inside = exact.mmul(exact.transpose().mmul(q));
      expect(Matrix.sub(q, inside).norm('frobenius')).to.be.below(tolerance);
      const gram = q.transpose().mmul(q);
      expect(Matrix.sub(gram, Matrix.eye(5)).norm('frobenius')).to.be.below(tolerance);
    });

    it('columns of any size, and zeros', async () => {
      const matrix = random(40, 4);
      [1e-30, 0, 1e30, 1].forEach((size, i) =>
        matrix.setColumn(i, matrix.getColumnVector(i).mul(size)),
      );
      const q = await nearly(matrix);
      const gram = q.transpose().mmul(q);
      const expected = Matrix.diag([1, 0, 1, 1]);
      expect(Matrix.sub(gram, expected).norm('frobenius')).to.be.below(1e-5);
    });

    it('dependent columns into finite ones', async () => {
      const matrix = random(40, 4);
      matrix.setColumn(2, matrix.getColumnVector(0));
      const q = await nearly(matrix);
      expect(q.to1DArray().every(Number.isFinite)).to.equal(true);
      expect(q.getColumnVector(3).norm('frobenius')).to.be.closeTo(1, 1e-5);
    });

    it('what is not finite into what is neither', async () => {
      const matrix = random(40, 4);
      matrix.set(3, 1, NaN);
      const q = await nearly(matrix);
      expect(q.to1DArray().some(Number.isNaN)).to.equal(true);
    });
  });

  it('is installed once and taken back', async () => {
    const kernel = tf.getKernel(OwLoreOrthonormalize, 'tensorflow');
    await installKernels();
    expect(tf.getKernel(OwLoreOrthonormalize, 'tensorflow')).to.equal(kernel);
    uninstallKernels();
    uninstallKernels();
    expect(tf.getKernel(OwLoreOrthonormalize, 'tensorflow')).to.equal(undefined);
    await installKernels();
  });

  it('multiplies a row with a large transposed matrix in halves, op by op and as a graph', async () => {
    const columns = 4096;
    const before = tf.memory().numTensors;
    const [row, matrix] = [
      tf.randomNormal<tf.Rank.R2>([1, 1030], 0, 1, 'float32', 1),
      tf.randomNormal<tf.Rank.R2>([columns, 1030], 0, 1, 'float32', 2),
    ];
    // As a column it is another op.
    const expected = tf.tidy(() => tf.matMul(matrix, tf.transpose(row)).dataSync());
    for (let run = 0; run < 20; run++) {
      const product = tf.matMul(row, matrix, false, true);
      expect(product.shape).to.deep.equal([1, columns]);
      const values = await product.data();
      product.dispose();
      const wrong = values.findIndex((value, i) => !(Math.abs(value - expected[i]!) < 1e-3));
      expect(wrong, `place in run ${run}`).to.equal(-1);
    }
    expect(JSON.stringify(kernelHistory())).to.match(/"rowProduct":\[.*"runs":16/);
    tf.dispose([row, matrix]);
    expect(tf.memory().numTensors).to.equal(before);
  });
});
