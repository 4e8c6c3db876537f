import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {Matrix, QrDecomposition} from 'ml-matrix';
import {OwLoreOrthonormalize} from '../../../src/kernels/kernel_names';
import {describeWebgpu, randomOperand, run, type Operand} from './compare';
import {countDispatches} from '../../../tools/count_dispatches';
import {runKernel} from '../../../tools/webgpu_updates';

/** Entry i, j of a matrix from the rows' and columns' numbers. */
function matrix(rows: number, columns: number, entry: (i: number, j: number) => number): Operand {
  const values = new Float32Array(rows * columns);
  return {
    shape: [rows, columns],
    values: values.map((_, at) => entry(Math.floor(at / columns), at % columns)),
  };
}

async function orthonormalized(operand: Operand): Promise<Matrix> {
  const [result] = await run('webgpu', {matrix: operand}, (inputs) =>
    runKernel(OwLoreOrthonormalize, inputs),
  );
  expect(result!.shape).to.deep.equal(operand.shape);
  expect(result!.values.every(Number.isFinite), 'all finite').to.equal(true);
  return Matrix.from1DArray(operand.shape[0]!, operand.shape[1]!, result!.values);
}

const isZero = (column: number[]): boolean => column.every((x) => x === 0);

/** QᵀQ must be I, but for columns of zeros: to a few float32 roundings of numbers up to 1. */
function expectOrthonormal(q: Matrix): void {
  const products = q.transpose().mmul(q);
  for (let i = 0; i < q.columns; i++) {
    if (isZero(q.getColumn(i))) continue;
    for (let j = 0; j < q.columns; j++) {
      expect(products.get(i, j), `${i}, ${j}`).to.be.closeTo(Number(i === j), 3e-6);
    }
  }
}

/** Columns must be those of a QR decomposition in float64, which have no sign. */
function expectColumnsOfQr(q: Matrix, {shape, values}: Operand, tolerance: number): void {
  const [rows, columns] = shape as [number, number];
  const reference = new QrDecomposition(Matrix.from1DArray(rows, columns, values)).orthogonalMatrix;
  for (let j = 0; j < columns; j++) {
    const cosine = Math.abs(q.getColumnVector(j).dot(reference.getColumnVector(j)));
    expect(cosine, `column ${j}`).to.be.closeTo(1, tolerance);
  }
}

describeWebgpu('OwLoreOrthonormalize [webgpu]', () => {
  // Around the tiles of 32 and 64 and the pieces of 16 and 256 rows.
  for (const [rows, columns] of [
    [1, 1],
    [5, 1],
    [16, 16],
    [40, 17],
    [257, 33],
    [600, 8],
    [90, 64],
  ] as const) {
    it(`gives Q of a QR decomposition: ${rows}×${columns}`, async () => {
      const operand = randomOperand([rows, columns], rows + columns);
      const q = await orthonormalized(operand);
      expectOrthonormal(q);
      // A random matrix' condition number of up to 1e3 costs that many roundings.
      expectColumnsOfQr(q, operand, 1e-4);
    });
  }

  it('keeps columns of any size apart: 1e-35 to 1e30', async () => {
    const {values} = randomOperand([50, 12], 5);
    const sizes = [1e30, 1e-30, 1, 1e-35, 1e-10, 1e20];
    // some of one sign, as the largest magnitude may be a negative number's
    const at = (i: number, j: number): number =>
      j < 3 ? -Math.abs(values[12 * i + j]!) : values[12 * i + j]!;
    const operand = matrix(50, 12, (i, j) => at(i, j) * sizes[j % 6]!);
    const q = await orthonormalized(operand);
    expectOrthonormal(q);
    expectColumnsOfQr(q, matrix(50, 12, at), 1e-5);
  });

  for (const [rows, columns, size, tolerance] of [
    // Float32 has 1e-7 of the 1e-5 that is left of a column, and of the 1e-6.
    [80, 20, 1e-5, 1e-2],
    [300, 48, 1e-6, 0.1],
  ] as const) {
    it(`spans what a nearly singular matrix spans: ${rows}×${columns}, ${size} off rank 3`, async () => {
      const left = randomOperand([rows, 3], 1).values;
      const right = randomOperand([3, columns], 2).values;
      const rest = randomOperand([rows, columns], 3).values;
      const operand = matrix(rows, columns, (i, j) => {
        let sum = size * rest[columns * i + j]!;
        for (let k = 0; k < 3; k++) sum += left[3 * i + k]! * right[columns * k + j]!;
        return sum;
      });
      const q = await orthonormalized(operand);
      expectOrthonormal(q);
      expectColumnsOfQr(q, operand, tolerance);
    });
  }

  it('gives columns of zeros, or orthonormal ones, for dependent columns', async () => {
    const columns = randomOperand([30, 8], 7).values;
    const at = (i: number, j: number): number => columns[8 * i + j]!;
    const cases: Operand[] = [
      // equal
      matrix(30, 8, (i) => at(i, 0)),
      // sums of those before
      matrix(30, 8, (i, j) => (j % 3 === 2 ? at(i, j - 1) - 2 * at(i, j - 2) : at(i, j))),
      // all alike
      matrix(30, 8, () => 1),
      // of rank 2
      matrix(30, 8, (i, j) => i + j),
    ];
    for (const operand of cases) {
      const q = await orthonormalized(operand);
      expectOrthonormal(q);
      expect(isZero(q.getColumn(0))).to.equal(false);
    }
    const q = await orthonormalized(cases[1]!);
    // what is independent is there all the same
    for (const j of [0, 1, 3, 4, 6, 7])
      expect(isZero(q.getColumn(j)), `column ${j}`).to.equal(false);
  });

  it('gives columns of zeros for columns of zeros', async () => {
    const {values} = randomOperand([20, 6], 9);
    const operand = matrix(20, 6, (i, j) => (j % 2 ? 0 : values[6 * i + j]!));
    const q = await orthonormalized(operand);
    expectOrthonormal(q);
    for (let j = 0; j < 6; j++) expect(isZero(q.getColumn(j))).to.equal(j % 2 === 1);
    expect(isZero((await orthonormalized(matrix(4, 3, () => 0))).to1DArray())).to.equal(true);
  });

  it('lets NaN through', async () => {
    const operand = randomOperand([9, 4], 1);
    operand.values[5] = NaN;
    const [result] = await run('webgpu', {matrix: operand}, (inputs) =>
      runKernel(OwLoreOrthonormalize, inputs),
    );
    expect(result!.values.some(Number.isNaN)).to.equal(true);
  });

  it('takes a matrix without columns, and refuses one with more columns than rows', async () => {
    await orthonormalized({shape: [3, 0], values: new Float32Array()});
    await orthonormalized({shape: [0, 0], values: new Float32Array()});
    const wide = tf.zeros([3, 4]);
    expect(() => runKernel(OwLoreOrthonormalize, {matrix: wide})).to.throw('got [3,4]');
    wide.dispose();
  });

  it('is 13 dispatches at any size', () => {
    for (const shape of [
      [5, 2],
      [700, 40],
    ]) {
      const count = countDispatches(() =>
        tf.tidy(() => runKernel(OwLoreOrthonormalize, {matrix: tf.ones(shape)})),
      );
      // tf.ones of many numbers is filled on the device
      expect(count).to.be.oneOf([13, 14]);
    }
  });
});
