import type * as tf from '@tensorflow/tfjs-core';

/**
 * Computes the basis P of a gradient: orthonormal columns [m, rank] that span (nearly) its leading left singular vectors.
 *
 * @param gradient [m, n]; the gradient itself for side `left`, its transpose for `right`.
 * @param rank Number of columns, at most min(m, n).
 * @param previous The basis [m, rank] that this one replaces, with columns of length 1; null at the first refresh. The caller
 *   keeps and disposes of it.
 * @param variable Name of the variable.
 * @returns A float32 tensor [m, rank]. The function is called inside a `tidy`, which disposes of all other tensors that it makes.
 *   Any other result, or numbers that are not finite, are an error that names the variable. On a backend that cannot be read
 *   within a step (webgpu, webgl) numbers that are not finite are treated like those of a gradient, by the option `nonFinite`.
 */
export type BasisFunction = (
  gradient: tf.Tensor2D,
  rank: number,
  previous: tf.Tensor2D | null,
  variable: string,
) => tf.Tensor2D;

/** The bases that this library computes, by their names in the option `basis`. */
export const basisNames = ['randomized', 'svd'] as const;

export type BasisName = (typeof basisNames)[number];
