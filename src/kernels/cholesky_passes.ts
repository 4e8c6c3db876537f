/**
 * When a column counts as dependent on those before it in a pass of a Cholesky QR decomposition. All refer to columns scaled to
 * length 1.
 */
export interface Dependence {
  /** Added to the diagonal: keeps the inverse of a matrix that is singular to float32 below 1/√shift. */
  shift: number;
  /** A column at most this long, before it is scaled, becomes 0. */
  shortest: number;
  /** A column of which less than the square root of this is left becomes 0; below {@link SMALLEST_REST} it is taken for that. */
  smallestRest: number;
}

/** Square of what is left of a column, at least: what rounding leaves of a dependent one. */
export const SMALLEST_REST = 1e-6;

/**
 * The passes of a shifted Cholesky QR decomposition in float32 (Fukaya et al. 2020): Q ← QR⁻¹ with RᵀR = QᵀQ + shift, from a
 * matrix with columns scaled to the same size. The shift of the first two takes a condition number of 1e7, where float32 ends, to
 * about 1e4 and 10; the third makes such columns orthonormal, and the fourth, after which all that was independent is
 * orthonormal to rounding, drops the rest.
 */
export function choleskyPasses(columns: number): Dependence[] {
  // Above what rounding can leave below 0 in the Gram matrix of dependent columns.
  const shift = 1e-5 + columns * 2 ** -23;
  return [
    {shift, shortest: 0, smallestRest: -1},
    {shift, shortest: 1e-7, smallestRest: -1},
    {shift: 0, shortest: 1e-7, smallestRest: -1},
    {shift: 0, shortest: 0.5, smallestRest: 0.25},
  ];
}
