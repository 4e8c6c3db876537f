import * as tf from '@tensorflow/tfjs-core';
import {Matrix, SVD} from 'ml-matrix';
import {OwLoreLeftSingularVectors} from '../kernels/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import {readsSynchronously} from './read_back';
import {orthonormalize} from './orthonormalize';

/**
 * Gives the basis P of a gradient: orthonormal columns [m, rank] that span (nearly) its leading left singular vectors.
 *
 * @param gradient [m, n]; the gradient itself for side `left`, its transpose for `right`.
 * @param rank Number of columns, at most min(m, n).
 * @param previous The basis [m, rank] that this one replaces, or null at the first refresh. It stays the caller's.
 * @param variable Name of the variable.
 * @returns A new tensor; called inside a `tidy`, which disposes of everything else.
 */
export type BasisFunction = (
  gradient: tf.Tensor2D,
  rank: number,
  previous: tf.Tensor2D | null,
  variable: string,
) => tf.Tensor2D;

/**
 * Multiplications by GGᵀ between two orthonormalisations, which take most of the time: pairs come as near to the leading
 * subspace as single ones. The last one is single, for a pair would lose to rounding what is below 2 % of the largest
 * singular value. From the previous basis, which is near already, one is enough.
 */
const COLD_START = [2, 2, 1];
const WARM_START = [1];

/** Any fixed number: the same gradient gives the same basis. */
const SEED = 20240528;

/**
 * Randomised subspace iteration (Halko, Martinsson & Tropp 2011, Alg. 4.4): P ← orth((GGᵀ)ᵏP), from a seeded Gaussian
 * matrix or the previous basis. Matrix products and an orthonormalisation, all on the device.
 */
export const randomizedBasis: BasisFunction = (gradient, rank, previous) => {
  const random = tf.randomNormal<tf.Rank.R2>([gradient.shape[0], rank], 0, 1, 'float32', SEED);
  // Where the gradient has fewer than `rank` directions, the rest is filled from the random matrix.
  const fill = tf.mul<tf.Tensor2D>(random, 1e-6);
  let basis = previous ?? random;
  for (const multiplications of previous ? WARM_START : COLD_START) {
    for (let i = 0; i < multiplications; i++) {
      const image = tf.matMul(gradient, tf.matMul(gradient, basis, true));
      basis = tf.div(image, tf.maximum(tf.max(tf.abs(image)), 1e-30));
    }
    basis = orthonormalize(tf.add(basis, fill));
  }
  return basis;
};

/**
 * The leading left singular vectors, exact: by TensorFlow's SVD where that is the backend, else by one in float64 on the host
 * (ml-matrix): for reference, small models.
 */
export const exactBasis: BasisFunction = (gradient, rank) => {
  const [rows, columns] = gradient.shape;
  const onDevice = runKernel(OwLoreLeftSingularVectors, {matrix: gradient})?.[0];
  if (onDevice) return tf.slice(onDevice as tf.Tensor2D, [0, 0], [rows, rank]);
  const matrix = Matrix.from1DArray(rows, columns, gradient.dataSync());
  const vectors = new SVD(matrix, {autoTranspose: true}).leftSingularVectors;
  return tf.tensor2d(
    vectors.subMatrix(0, rows - 1, 0, rank - 1).to1DArray(),
    [rows, rank],
    'float32',
  );
};

/** Throws where the current backend cannot read the gradient back within a step, as {@link exactBasis} must. */
export function checkExactBasisSupport(): void {
  if (readsSynchronously()) return;
  throw new Error(
    `OwLoreOptimizer: basis 'svd' reads gradients back from the device, which the '${tf.getBackend()}' backend cannot ` +
      "do within a step; use basis: 'randomized'",
  );
}
