/**
 * When a column counts as dependent on those before it in a pass of a Cholesky QR decomposition. All numbers refer to columns
 * scaled to length 1.
 */
export interface Dependence {
  /** Added to the diagonal: keeps the inverse below 1/√shift where the matrix is singular in float32. */
  shift: number;
  /** A column at most this long, before it is scaled, becomes 0. */
  shortest: number;
  /** A column with less than the square root of this left becomes 0; at least {@link SMALLEST_REST} is assumed to be left. */
  smallestRest: number;
}

/** The smallest square of what is left of a column: rounding leaves that much of a dependent column. */
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
