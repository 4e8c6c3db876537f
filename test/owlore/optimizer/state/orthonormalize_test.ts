import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {Matrix, QrDecomposition} from 'ml-matrix';
import {
  OwLoreNearlyOrthonormalize,
  OwLoreOrthonormalize,
} from '../../../../src/kernels/kernel_names';
import {startMemoryMeter} from '../../../../src/memory/meter';
import {
  blockGramSchmidt,
  choleskyQR,
  nearlyOrthonormalize,
  orthonormalize as byDefault,
} from '../../../../src/owlore/optimizer/state/orthonormalize';
import {describeBackends, type BackendName} from '../../../support/backends';
import {calledKernels} from '../../../support/called_kernels';

/** Largest entry of |QᵀQ − I|. */
async function deviation(q: tf.Tensor2D): Promise<number> {
  const distance = tf.tidy(() => tf.max(tf.abs(tf.sub(tf.matMul(q, q, true), tf.eye(q.shape[1])))));
  const [value] = await distance.data();
  distance.dispose();
  return value!;
}

/** The columns of `q` must be those of a QR decomposition of `matrix` in float64, which have no sign. */
async function expectColumnsOfQr(
  q: tf.Tensor2D,
  matrix: tf.Tensor2D,
  tolerance: number,
): Promise<void> {
  const [rows, columns] = matrix.shape;
  const [actual, given] = [
    Matrix.from1DArray(rows, columns, await q.data()),
    Matrix.from1DArray(rows, columns, await matrix.data()),
  ];
  const reference = new QrDecomposition(given).orthogonalMatrix;
  for (let j = 0; j < columns; j++) {
    const cosine = Math.abs(actual.getColumnVector(j).dot(reference.getColumnVector(j)));
    expect(cosine, `column ${j}`).to.be.closeTo(1, tolerance);
  }
}

describeBackends('orthonormalize', (backend) => {
  describe('by default', () => describeOrthonormalization(backend, byDefault));
  // Gram-Schmidt is what webgpu does by default, where its kernels are not installed.
  if (backend === 'webgpu') return;
  describe('by Cholesky QR', () => describeOrthonormalization(backend, choleskyQR));
  describe('by Gram-Schmidt', () => describeOrthonormalization(backend, blockGramSchmidt));

  it('by Cholesky QR has the shape of its columns where no values are computed', () => {
    const there = tf.backend() as {computesNoValues?: true};
    there.computesNoValues = true;
    const matrix = tf.ones<tf.Rank.R2>([7, 3]);
    const q = choleskyQR(matrix);
    delete there.computesNoValues;
    expect(q.shape).to.deep.equal([7, 3]);
    tf.dispose([matrix, q]);
  });

  it('by Gram-Schmidt is orthogonal where rounding alone tells the columns apart', async () => {
    const matrix = tf.tidy(() => {
      const [few, mix] = [[60, 3] as const, [3, 40] as const].map(([rows, columns]) =>
        tf.randomNormal<tf.Rank.R2>([rows, columns], 0, 1, 'float32', columns),
      );
      return tf.matMul<tf.Tensor2D>(few!, mix!);
    });
    const q = blockGramSchmidt(matrix);
    expect(await deviation(q)).to.be.below(2e-6);
    tf.dispose([matrix, q]);
  });

  it('takes the results of kernels as they are', async () => {
    const matrix = tf.ones<tf.Rank.R2>([4, 3]);
    for (const [kernelName, own] of [
      [OwLoreOrthonormalize, byDefault],
      [OwLoreNearlyOrthonormalize, nearlyOrthonormalize],
    ] as const) {
      const existing = tf.getKernel(kernelName, backend) as tf.KernelConfig | undefined;
      if (existing) tf.unregisterKernel(kernelName, backend);
      // not orthonormal, but its own
      const kernelFunc = ({inputs}: Parameters<tf.KernelFunc>[0]): tf.TensorInfo =>
        tf.mul(inputs['matrix'] as tf.Tensor, 2);
      tf.registerKernel({kernelName, backendName: backend, kernelFunc});
      const q = tf.tidy(() => own(matrix));
      tf.unregisterKernel(kernelName, backend);
      if (existing) tf.registerKernel(existing);
      expect([...(await q.data())]).to.deep.equal(new Array(12).fill(2));
      q.dispose();
    }
    matrix.dispose();
  });

  // What is lost to rounding below is that of sums in float64, which of all backends cpu alone has.
  if (backend !== 'cpu') return;

  /** A column, the same in all, and a random part of it in each. */
  const nearlyEqual = (rows: number, columns: number, part: number): tf.Tensor2D =>
    tf.tidy(() => {
      const [common, rest] = [1, columns].map((width, i) =>
        tf.randomNormal<tf.Rank.R2>([rows, width], 0, 1, 'float32', i + 1),
      );
      return tf.add<tf.Tensor2D>(common!, tf.mul(rest!, part));
    });

  for (const [rows, columns] of [
    [60, 8],
    [200, 64],
  ] as const) {
    it(`by Cholesky QR keeps ${columns} directions apart that differ in the sixth digit`, async () => {
      const matrix = nearlyEqual(rows, columns, 1e-5);
      const q = choleskyQR(matrix);
      expect(await deviation(q)).to.be.below(2e-6);
      // Float32 has 1e-7 of the 1e-5 that is left of a column: a hundredth, and the cosine of that.
      await expectColumnsOfQr(q, matrix, 1e-4);
      tf.dispose([matrix, q]);
    });
  }

  it('by Cholesky QR drops columns where it cannot tell them apart', async () => {
    const matrix = nearlyEqual(64, 40, 1e-8);
    const q = choleskyQR(matrix);
    const gram = tf.tidy(() => tf.matMul(q, q, true));
    const values = await gram.data();
    let dropped = 0;
    values.forEach((value, i) => {
      const isOfDiagonal = i % 41 === 0;
      if (isOfDiagonal && value < 0.5) dropped++;
      expect(value).to.be.closeTo(isOfDiagonal && value >= 0.5 ? 1 : 0, 2e-6);
    });
    expect(dropped).to.be.within(1, 39);
    tf.dispose([matrix, q, gram]);
  });

  it('by Cholesky QR multiplies no oftener than a matrix needs, with room for two of its size', async () => {
    for (const [what, make, products] of [
      // two for each pass, and one that shows that no other is needed
      ['random', () => tf.randomNormal<tf.Rank.R2>([200, 32], 0, 1, 'float32', 3), 3],
      ['nearly equal', () => nearlyEqual(200, 32, 1e-5), 5],
    ] as Array<[string, () => tf.Tensor2D, number]>) {
      const matrix = make();
      const meter = startMemoryMeter();
      let q: tf.Tensor2D;
      const called = await calledKernels(() => void (q = choleskyQR(matrix)));
      meter.stop();
      expect(
        called.filter((name) => name === 'BatchMatMul'),
        what,
      ).to.have.length(products);
      // beside them a Gram matrix and its factor
      const size = 4 * matrix.size;
      expect(meter.peak(), what).to.be.within(size, 2 * size + 4 * 2 * 32 ** 2 + 4 * 32);
      tf.dispose([matrix, q!]);
    }
  });
});

function describeOrthonormalization(
  backend: BackendName,
  orthonormalize: (matrix: tf.Tensor2D) => tf.Tensor2D,
): void {
  // Widths around the panel of 16 columns; the software GPU takes long for the large ones.
  const shapes: Array<[number, number]> = [
    [5, 1],
    [16, 16],
    [40, 17],
  ];
  if (backend !== 'webgpu') shapes.push([200, 64], [64, 33]);
  for (const [rows, columns] of shapes) {
    it(`gives Q of a QR decomposition: ${rows}×${columns}`, async () => {
      const matrix = tf.randomNormal<tf.Rank.R2>([rows, columns], 0, 1, 'float32', 3);
      const before = tf.memory().numTensors;
      const q = orthonormalize(matrix);
      expect(tf.memory().numTensors).to.equal(before + 1);
      // A few float32 roundings of numbers up to 1.
      expect(await deviation(q)).to.be.below(2e-6);
      // A random matrix' condition number of up to 1e3 costs that many roundings.
      await expectColumnsOfQr(q, matrix, 1e-4);
      tf.dispose([matrix, q]);
    });
  }

  it('keeps columns of any size apart: 1e-30 beside 1e30', async () => {
    const matrix = tf.tidy(() => {
      const scale = tf.tensor1d([1e30, 1e-30, 1, 1e-10]);
      return tf.mul<tf.Tensor2D>(tf.randomNormal([12, 4], 0, 1, 'float32', 5), scale);
    });
    const q = orthonormalize(matrix);
    expect(await deviation(q)).to.be.below(2e-6);
    await expectColumnsOfQr(q, matrix, 1e-6);
    tf.dispose([matrix, q]);
  });

  it('gives no NaN for columns of zeros or equal columns', async () => {
    const matrix = tf.tidy(() => {
      const column = tf.randomNormal<tf.Rank.R2>([10, 1], 0, 1, 'float32', 7);
      return tf.concat2d([column, column, tf.zeros<tf.Rank.R2>([10, 1])], 1);
    });
    const q = orthonormalize(matrix);
    const values = await q.data<'float32'>();
    expect(values.every(Number.isFinite)).to.equal(true);
    const [first, , last] = [0, 1, 2].map((column) => values.filter((_, i) => i % 3 === column));
    const dot = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, x, i) => sum + x * b[i]!, 0);
    // Zeros, or by TensorFlow's QR an arbitrary column orthogonal to the rest.
    expect(dot(first!, last!)).to.be.closeTo(0, 2e-6);
    const square = dot(last!, last!);
    expect(Math.min(square, Math.abs(square - 1))).to.be.below(2e-6);
    tf.dispose([matrix, q]);
  });
}
