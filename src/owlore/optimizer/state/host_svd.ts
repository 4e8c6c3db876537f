import {Matrix, SVD} from 'ml-matrix';

/**
 * Left singular vectors of a matrix [rows, columns] in float64, sorted by singular value, the largest first.
 *
 * @param values The numbers of the matrix, row by row.
 * @returns The vectors of the `rank` largest singular values, [rows, rank] row by row; rank ≤ min(rows, columns).
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
