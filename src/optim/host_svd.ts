import {Matrix, SVD} from 'ml-matrix';

/**
 * Left singular vectors of a matrix [rows, columns], of the largest singular values first, in float64.
 *
 * @param values Its numbers, row by row.
 * @returns Those of the `rank` largest, [rows, rank] row by row; rank ≤ min(rows, columns).
 */
export function leftSingularVectors(
  values: ArrayLike<number>,
  [rows, columns]: readonly [rows: number, columns: number],
  rank: number,
): number[] {
  const matrix = Matrix.from1DArray(rows, columns, values);
  const vectors = new SVD(matrix, {autoTranspose: true}).leftSingularVectors;
  return vectors.subMatrix(0, rows - 1, 0, rank - 1).to1DArray();
}
