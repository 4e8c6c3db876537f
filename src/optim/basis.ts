import * as tf from '@tensorflow/tfjs-core';
import {OwLoreLeftSingularVectors} from '../kernels/kernel_names';
import {hasKernel, runKernel} from '../kernels/run_kernel';
import {hostSvd} from '../on_demand';
import {largestMagnitude} from './largest_magnitude';
import {nearlyOrthonormalize, orthonormalize} from './orthonormalize';
import {canReadSynchronously} from './read_back';

/**
 * Gives the basis P of a gradient: orthonormal columns [m, rank] that span (nearly) its leading left singular vectors.
 *
 * @param gradient [m, n]; the gradient itself for side `left`, its transpose for `right`.
 * @param rank Number of columns, at most min(m, n).
 * @param previous The basis [m, rank] that this one replaces, its columns of length 1, or null at the first refresh. It stays the
 *   caller's.
 * @param variable Name of the variable.
 * @returns A float32 tensor; called inside a `tidy`, which disposes of all that is made. What is no such tensor, or not finite,
 *   is an error that names the variable; on a backend that cannot be read within a step (webgpu, webgl) numbers that are not finite
 *   are found as those of a gradient are, by `nonFinite`.
 */
export type BasisFunction = (
  gradient: tf.Tensor2D,
  rank: number,
  previous: tf.Tensor2D | null,
  variable: string,
) => tf.Tensor2D;

/**
 * Multiplications by GGᵀ before the last one, each with an orthonormalisation of its own: two in a row would lose to rounding what
 * is below 2 % of the largest singular value, and each backend would have other vectors there. The previous basis is near already.
 */
const COLD_START = 4;
const WARM_START = 1;

/** Any fixed number: the same gradient gives the same basis. */
const SEED = 240518380;

/**
 * Randomised subspace iteration (Halko, Martinsson & Tropp 2011, Alg. 4.4): P ← orth(GGᵀP) several times, from the previous
 * basis or a seeded random matrix: of uniform numbers, which do as well as Gaussian ones and are made in a quarter of the time.
 * Matrix products and an orthonormalisation, all on the device.
 */
export const randomizedBasis: BasisFunction = (gradient, rank, previous) => {
  const random = tf.randomUniform<tf.Rank.R2>([gradient.shape[0], rank], -1, 1, 'float32', SEED);
  // Where the gradient has fewer than `rank` directions, the rest is random.
  const complete = (matrix: tf.Tensor2D): tf.Tensor2D =>
    tf.where(tf.greater(tf.max(tf.abs(matrix), 0, true), 0), matrix, random);
  let scale: tf.Tensor | undefined;
  // GGᵀ, of a gradient that is scaled on the way, for it may be tiny or huge: to about 1 at the first product.
  const multiply = (matrix: tf.Tensor2D): tf.Tensor2D => {
    const inner = tf.matMul(gradient, matrix, true);
    scale ??= tf.div(1, largestMagnitude(inner));
    return tf.mul(tf.matMul(gradient, tf.mul<tf.Tensor2D>(inner, scale)), scale);
  };
  let basis = previous ?? random;
  for (let i = 0; i < (previous ? WARM_START : COLD_START); i++) {
    basis = complete(nearlyOrthonormalize(multiply(basis)));
  }
  const image = multiply(basis);
  return orthonormalize(tf.add(tf.div(image, largestMagnitude(image, 0)), tf.mul(random, 1e-6)));
};

/**
 * The leading left singular vectors, exact: by TensorFlow's SVD where that is the backend, else by one in float64 on the host
 * (ml-matrix): for reference, small models.
 */
export const exactBasis: BasisFunction = (gradient, rank) => {
  const [rows, columns] = gradient.shape;
  const onDevice = runKernel(OwLoreLeftSingularVectors, {matrix: gradient})?.[0];
  if (onDevice) return tf.slice(onDevice as tf.Tensor2D, [0, 0], [rows, rank]);
  const {leftSingularVectors} = hostSvd.loaded!;
  const vectors = leftSingularVectors(gradient.dataSync(), [rows, columns], rank);
  return tf.tensor2d(vectors, [rows, rank], 'float32');
};

/** Whether a function is one of those here, whose results are finite if the gradient is. */
export function isOwnBasis(basis: BasisFunction): boolean {
  return basis === randomizedBasis || basis === exactBasis;
}

/**
 * Throws where {@link exactBasis} would fail: where the current backend cannot read the gradient back within a step, or the SVD
 * on the host has not been loaded yet.
 */
export function checkExactBasisSupport(): void {
  if (!canReadSynchronously()) {
    throw new Error(
      `OwLoreOptimizer: basis 'svd' reads gradients back from the device, which the '${tf.getBackend()}' backend cannot ` +
        "do within a step; use basis: 'randomized'",
    );
  }
  if (!hasKernel(OwLoreLeftSingularVectors) && !hostSvd.loaded) {
    throw new Error(
      "OwLoreOptimizer: basis 'svd' computes by a part of this library that a page loads when it is needed, and that is not " +
        'there yet; `await optimizer.ready()` before the first step',
    );
  }
}
