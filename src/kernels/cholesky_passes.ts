/**
 * When a column counts as dependent on those before it in a pass of a Cholesky QR decomposition. The columns are first scaled to
 * length 1. The rest of a column is the square of the length that remains when its components along the columns before it are
 * removed: the number under the square root on the diagonal of the Cholesky factor.
 */
export interface Dependence {
  /** Added to the diagonal: keeps the inverse below 1/√shift where the matrix is singular in float32. */
  shift: number;
  /** A column at most this long, before it is scaled, becomes 0. */
  shortest: number;
  /** A column whose rest is smaller becomes 0. */
  smallestRest: number;
}

/** A smaller rest is raised to this: rounding leaves that much of a dependent column. */
export const SMALLEST_REST = 1e-6;

/**
 * The passes of a shifted Cholesky QR decomposition in float32 (Fukaya et al. 2020): Q ← QR⁻¹ with RᵀR = QᵀQ + shift, from a
 * matrix with columns scaled to the same size. The first two passes, with a shift, take a condition number of 1e7, where float32
 * ends, to about 1e4 and then 10; the third makes such columns orthonormal; the fourth drops dependent columns, and leaves all
 * others orthonormal up to rounding.
 */
export function choleskyPasses(columns: number): Dependence[] {
  // More than the negative numbers that rounding can leave in the Gram matrix of dependent columns.
  const shift = 1e-5 + columns * 2 ** -23;
  return [
    {shift, shortest: 0, smallestRest: -1},
    {shift, shortest: 1e-7, smallestRest: -1},
    {shift: 0, shortest: 1e-7, smallestRest: -1},
    {shift: 0, shortest: 0.5, smallestRest: 0.25},
  ];
}
