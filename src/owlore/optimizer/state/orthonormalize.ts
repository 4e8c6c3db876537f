import * as tf from '@tensorflow/tfjs-core';
import {computesValues, readsSynchronously, smallestNormal} from '../../../kernels/capabilities';
import {choleskyPasses, SMALLEST_REST, type Dependence} from '../../../kernels/cholesky_passes';
import {OwLoreNearlyOrthonormalize, OwLoreOrthonormalize} from '../../../kernels/kernel_names';
import {runKernel} from '../../../kernels/run_kernel';
import {largestMagnitude} from '../../../kernels/norms';

/**
 * Orthonormal columns that span the columns of `matrix` [n, k], k ≤ n, in their order (the Q of a QR decomposition). Nothing is
 * read back from a device that cannot be read within a step. A column that depends on those before it, in float32 precision,
 * gives a column of zeros or an arbitrary one orthogonal to the rest.
 */
export function orthonormalize(matrix: tf.Tensor2D): tf.Tensor2D {
  const [fused] = runKernel(OwLoreOrthonormalize, {matrix}) ?? [];
  if (fused) return fused as tf.Tensor2D;
  return readsSynchronously() ? choleskyQR(matrix) : blockGramSchmidt(matrix);
}

/**
 * The same where it is enough that no direction is lost to rounding, as between the multiplications of a subspace iteration. On
 * some backends this takes less time, but columns are shorter and not orthogonal in directions in which the columns of `matrix`
 * hardly differ.
 */
export function nearlyOrthonormalize(matrix: tf.Tensor2D): tf.Tensor2D {
  const [fused] = runKernel(OwLoreNearlyOrthonormalize, {matrix}) ?? [];
  return (fused as tf.Tensor2D | undefined) ?? orthonormalize(matrix);
}

/** Columns that are orthonormalised one by one before the rest of the matrix is updated by a matrix product. */
const PANEL = 16;

/**
 * How often the components along earlier columns are removed. Twice is enough where something is left of a column (Giraud et al.
 * 2005). Of the last columns of a basis a millionth may be left, less than a GPU's matrix product loses to rounding; they need
 * the other two.
 */
const REMOVALS = 4;

/** Orthonormal columns as {@link orthonormalize} gives them, made by plain tensor operations: block Gram-Schmidt. */
export function blockGramSchmidt(matrix: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const [rows, columns] = matrix.shape;
    const done: tf.Tensor2D[] = [];
    for (let from = 0; from < columns; from += PANEL) {
      const width = Math.min(PANEL, columns - from);
      let panel = tf.slice(matrix, [0, from], [rows, width]);
      if (done.length > 0) panel = withoutComponents(panel, tf.concat(done, 1));
      done.push(orthonormalizePanel(panel));
    }
    return tf.concat(done, 1);
  });
}

function orthonormalizePanel(panel: tf.Tensor2D): tf.Tensor2D {
  const columns: tf.Tensor2D[] = [];
  for (const column of tf.split<tf.Tensor2D>(panel, panel.shape[1], 1)) {
    // Scaling first keeps the squares of tiny columns from underflowing.
    let rest = unit(column);
    if (columns.length > 0) rest = unit(withoutComponents(rest, tf.concat(columns, 1)));
    columns.push(rest);
  }
  return tf.concat(columns, 1);
}

/** `vectors` without their components along the orthonormal `basis`. */
function withoutComponents(vectors: tf.Tensor2D, basis: tf.Tensor2D): tf.Tensor2D {
  let rest = vectors;
  for (let i = 0; i < REMOVALS; i++) {
    rest = tf.sub(rest, tf.matMul(basis, tf.matMul(basis, rest, true)));
  }
  return rest;
}

function unit(column: tf.Tensor2D): tf.Tensor2D {
  const scaled = tf.div(column, largestMagnitude(column));
  return tf.div(scaled, tf.maximum(tf.sqrt(tf.sum(tf.square(scaled))), smallestNormal()));
}

/** If the rest of each column (see {@link Dependence}) is at least this, no shift is needed: at most two digits are lost. */
const INDEPENDENT = 1e-3;

/** Largest entry of |QᵀQ − I| that counts as rounding. */
const ROUNDING = 1e-6;

/**
 * Orthonormal columns as `orthonormalize` gives them, by Cholesky QR decompositions: matrix products, which are fast on the
 * device, and between them a decomposition of a small matrix in float64 on the host. For backends that can read a tensor within
 * a step.
 */
export function choleskyQR(matrix: tf.Tensor2D): tf.Tensor2D {
  const columns = matrix.shape[1];
  return tf.tidy(() => {
    let q = tf.div<tf.Tensor2D>(matrix, largestMagnitude(matrix, 0));
    for (const dependence of choleskyPasses(columns)) {
      // Not by a tidy, which would look for tensors in the numbers, one by one.
      const product = tf.matMul(q, q, true);
      const gram = product.dataSync<'float32'>();
      product.dispose();
      if (isIdentity(gram, columns)) break;
      const inverse = computesValues()
        ? tf.tensor2d(inverseFactor(gram, columns, dependence), [columns, columns])
        : tf.fill<tf.Rank.R2>([columns, columns], 0);
      const before = q;
      q = tf.matMul(before, inverse, false, true);
      tf.dispose([before, inverse]);
    }
    return q;
  });
}

function isIdentity(gram: Float32Array, columns: number): boolean {
  return gram.every((value, i) => Math.abs(value - (i % (columns + 1) === 0 ? 1 : 0)) <= ROUNDING);
}

/** L⁻¹ of the Cholesky decomposition LLᵀ of a Gram matrix, with a shift where its columns are not independent without one. */
function inverseFactor(gram: Float32Array, columns: number, dependence: Dependence): Float32Array {
  const scales = Float64Array.from({length: columns}, (_, i) => {
    const square = gram[i * (columns + 1)]!;
    return square > dependence.shortest ** 2 ? 1 / Math.sqrt(square) : 0;
  });
  const scaled = new Float64Array(gram).map(
    (value, i) => value * scales[Math.floor(i / columns)]! * scales[i % columns]!,
  );
  const plain = decompose(scaled, columns, {...dependence, shift: 0});
  const {factor, reciprocals} =
    plain.smallestRest >= INDEPENDENT ? plain : decompose(scaled, columns, dependence);
  return invert(factor, reciprocals, scales);
}

interface Decomposition {
  /** L below the diagonal, row by row. */
  factor: Float64Array;
  /** The reciprocals of the diagonal of L; 0 for a column that is dropped. */
  reciprocals: Float64Array;
  /** The smallest rest of a column. */
  smallestRest: number;
}

function decompose(
  gram: Float64Array,
  columns: number,
  {shift, smallestRest}: Dependence,
): Decomposition {
  const factor = new Float64Array(columns * columns);
  const reciprocals = new Float64Array(columns);
  let least = Infinity;
  for (let i = 0; i < columns; i++) {
    const row = i * columns;
    for (let j = 0; j <= i; j++) {
      const other = j * columns;
      let value = gram[row + j]!;
      for (let k = 0; k < j; k++) value -= factor[row + k]! * factor[other + k]!;
      if (j < i) {
        factor[row + j] = value * reciprocals[j]!;
      } else {
        const rest = value + shift;
        least = Math.min(least, rest);
        reciprocals[i] = rest >= smallestRest ? 1 / Math.sqrt(Math.max(rest, SMALLEST_REST)) : 0;
      }
    }
  }
  return {factor, reciprocals, smallestRest: least};
}

/** The inverse of L times the column lengths, by forward substitution; `scales` are the reciprocals of these lengths. */
function invert(
  factor: Float64Array,
  reciprocals: Float64Array,
  scales: Float64Array,
): Float32Array {
  const columns = reciprocals.length;
  const inverse = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++) {
    const row = i * columns;
    const reciprocal = reciprocals[i]!;
    for (let k = 0; k < i; k++) {
      const part = factor[row + k]! * reciprocal;
      const other = k * columns;
      for (let j = 0; j <= k; j++) inverse[row + j]! -= part * inverse[other + j]!;
    }
    inverse[row + i] = reciprocal;
  }
  return new Float32Array(inverse.map((value, i) => value * scales[i % columns]!));
}
