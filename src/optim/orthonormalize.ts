import * as tf from '@tensorflow/tfjs-core';
import {OwLoreNearlyOrthonormalize, OwLoreOrthonormalize} from '../kernels/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import {choleskyQR} from './cholesky_qr';
import {largestMagnitude, smallestNormal} from './largest_magnitude';
import {readsSynchronously} from './read_back';

/** Columns that are orthonormalised one by one before the rest of the matrix is updated by a matrix product. */
const PANEL = 16;

/**
 * Orthonormal columns that span the columns of `matrix` [n, k], k ≤ n, in their order (a QR decomposition's Q). Nothing is
 * read back from a device that cannot be read within a step. A column that depends on those before it, to float32, gives a
 * column of zeros or an arbitrary one orthogonal to the rest.
 */
export function orthonormalize(matrix: tf.Tensor2D): tf.Tensor2D {
  const [fused] = runKernel(OwLoreOrthonormalize, {matrix}) ?? [];
  if (fused) return fused as tf.Tensor2D;
  return readsSynchronously() ? choleskyQR(matrix) : blockGramSchmidt(matrix);
}

/**
 * The same where it is enough that no direction is lost to rounding, as between the multiplications of a subspace iteration: on some
 * backends, and there in less time, columns are shorter and not orthogonal in directions in which those of `matrix` hardly differ.
 */
export function nearlyOrthonormalize(matrix: tf.Tensor2D): tf.Tensor2D {
  const [fused] = runKernel(OwLoreNearlyOrthonormalize, {matrix}) ?? [];
  return (fused as tf.Tensor2D | undefined) ?? orthonormalize(matrix);
}

/**
 * The same of plain tensor operations: block Gram-Schmidt with every projection done twice ("twice is enough", Giraud et
 * al. 2005).
 */
export function blockGramSchmidt(matrix: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const [rows, columns] = matrix.shape;
    const done: tf.Tensor2D[] = [];
    for (let from = 0; from < columns; from += PANEL) {
      const width = Math.min(PANEL, columns - from);
      let panel = tf.slice(matrix, [0, from], [rows, width]);
      if (done.length > 0) panel = removeTwice(panel, tf.concat(done, 1));
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
    if (columns.length > 0) rest = unit(removeTwice(rest, tf.concat(columns, 1)));
    columns.push(rest);
  }
  return tf.concat(columns, 1);
}

/** `vectors` without their components along the orthonormal `basis`. */
function removeTwice(vectors: tf.Tensor2D, basis: tf.Tensor2D): tf.Tensor2D {
  const once = tf.sub(vectors, tf.matMul(basis, tf.matMul(basis, vectors, true)));
  return tf.sub(once, tf.matMul(basis, tf.matMul(basis, once, true)));
}

function unit(column: tf.Tensor2D): tf.Tensor2D {
  const scaled = tf.div(column, largestMagnitude(column));
  return tf.div(scaled, tf.maximum(tf.sqrt(tf.sum(tf.square(scaled))), smallestNormal()));
}
