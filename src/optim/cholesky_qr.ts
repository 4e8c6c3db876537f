import * as tf from '@tensorflow/tfjs-core';
import {choleskyPasses, SMALLEST_REST, type Dependence} from '../kernels/cholesky_passes';
import {largestMagnitude} from './largest_magnitude';

/** Columns of which at least the square root of this is left need no shift: the decomposition loses two digits at most. */
const INDEPENDENT = 1e-3;

/** Largest entry of |QᵀQ − I| that is rounding. */
const ROUNDING = 1e-6;

/**
 * Orthonormal columns as `orthonormalize` gives them, by Cholesky QR decompositions: products of matrices, which the device
 * makes fast, and of the small matrix between them a decomposition in float64 on the host. For backends that can read a tensor
 * within a step.
 */
export function choleskyQR(matrix: tf.Tensor2D): tf.Tensor2D {
  const columns = matrix.shape[1];
  return tf.tidy(() => {
    let q = tf.div<tf.Tensor2D>(matrix, largestMagnitude(matrix, 0));
    for (const dependence of choleskyPasses(columns)) {
      const gram = tf.tidy(() => tf.matMul(q, q, true).dataSync<'float32'>());
      if (isIdentity(gram, columns)) break;
      const inverse = tf.tensor2d(inverseFactor(gram, columns, dependence), [columns, columns]);
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

/** L⁻¹ of the Cholesky decomposition LLᵀ of a Gram matrix, shifted where its columns are not independent without. */
function inverseFactor(gram: Float32Array, columns: number, dependence: Dependence): Float32Array {
  const scales = Float64Array.from({length: columns}, (_, i) => {
    const square = gram[i * (columns + 1)]!;
    return square > dependence.shortest ** 2 ? 1 / Math.sqrt(square) : 0;
  });
  const scaled = Float64Array.from(
    gram,
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
  /** Of the diagonal of L; 0 for a column that is dropped. */
  reciprocals: Float64Array;
  /** Least square of what is left of a column. */
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

/** The inverse, by forward substitution, of L times the lengths that `scales` are the reciprocals of. */
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
  return Float32Array.from(inverse, (value, i) => value * scales[i % columns]!);
}
