import * as tf from '@tensorflow/tfjs-core';
import {OwLoreLeftSingularVectors} from '../../../kernels/kernel_names';
import {randomUniform} from '../../../kernels/host_tensors';
import {runKernel} from '../../../kernels/run_kernel';
import {OnDemand} from '../../../common/on_demand';
import {display} from '../../../common/options';
import {readsSynchronously} from '../../../kernels/capabilities';
import {largestMagnitude} from '../../../kernels/norms';
import {nearlyOrthonormalize, orthonormalize} from './orthonormalize';
import type {BasisFunction, BasisName, ResolvedOwLoreOptions} from '../options';
import {asMatrix, basisShape, withUnitColumns, type Projection} from './projector';
import type {VariableState} from './state';
import {updateRules} from '../rules';
import type {UpdateRule} from '../rules/rule';

/**
 * Multiplications by GGᵀ before the last one, each followed by an orthonormalisation: two multiplications in a row would lose to
 * rounding what is below 2 % of the largest singular value, and backends would differ in the vectors there. A warm start needs
 * fewer, because the previous basis is already near. With four in all, a first basis has 99.5 % of the best one's energy for singular
 * values 1/√k (1024×1024, rank 128); five have 99.7 %, three 99.1 %, and trainings end at the same loss with any of them.
 */
export const COLD_START = 3;
export const WARM_START = 1;

/** Any fixed number: the same gradient gives the same basis. */
const SEED = 240518380;

/** Where a subspace iteration without a previous basis begins. Uniform numbers work as well as Gaussian ones and are made in a quarter of the time. */
export function randomStart(rows: number, rank: number): tf.Tensor2D {
  return randomUniform<tf.Rank.R2>([rows, rank], -1, 1, SEED);
}

/**
 * Randomised subspace iteration (Halko, Martinsson & Tropp 2011, Alg. 4.4): P ← orth(GGᵀP) several times, from the previous
 * basis or a seeded random matrix. All of it, matrix products and orthonormalisations, runs on the device.
 */
export const randomizedBasis: BasisFunction = (gradient, rank, previous) => {
  let scale: tf.Tensor | undefined;
  // Multiplies by GGᵀ. As G may be tiny or huge, it is scaled on the way, so that the first product is about 1.
  return subspaceIteration(gradient.shape[0], rank, previous, (matrix) => {
    const inner = tf.matMul(gradient, matrix, true);
    scale ??= tf.div(1, largestMagnitude(inner));
    return tf.mul(tf.matMul(gradient, tf.mul<tf.Tensor2D>(inner, scale)), scale);
  });
};

/**
 * The same basis from GGᵀ [m, m], where G itself is not there. A direction with less than some 3e-4 of the largest singular value
 * is lost to rounding, because the squares of singular values are compared.
 */
export function basisOfGram(
  gram: tf.Tensor2D,
  rank: number,
  previous: tf.Tensor2D | null,
): tf.Tensor2D {
  return tf.tidy(() =>
    subspaceIteration(gram.shape[0], rank, previous, (matrix) => tf.matMul(gram, matrix)),
  );
}

/** @param multiply The product of GGᵀ, or of a multiple of it, and a matrix. */
function subspaceIteration(
  rows: number,
  rank: number,
  previous: tf.Tensor2D | null,
  multiply: (matrix: tf.Tensor2D) => tf.Tensor2D,
): tf.Tensor2D {
  const random = randomStart(rows, rank);
  // Where the gradient has fewer than `rank` directions, the rest is random. (On wasm tf.where takes ten times as long.)
  const complete = (matrix: tf.Tensor2D): tf.Tensor2D => {
    const isZero = tf.equal(tf.max(tf.abs(matrix), 0), 0);
    return tf.add(matrix, tf.mul(random, isZero));
  };
  let basis = previous ?? random;
  for (let i = 0; i < (previous ? WARM_START : COLD_START); i++) {
    basis = complete(nearlyOrthonormalize(multiply(basis)));
  }
  const image = multiply(basis);
  return orthonormalize(tf.add(tf.div(image, largestMagnitude(image, 0)), tf.mul(random, 1e-6)));
}

/**
 * The exact leading left singular vectors: by TensorFlow's SVD on that backend, elsewhere by an SVD in float64 on the host
 * (ml-matrix). Meant for reference and for small models. A vector has no sign of its own; it gets that of the one in its place
 * in the previous basis, so that moments that are kept (`moments: 'keep'`) do not turn round.
 */
export const exactBasis: BasisFunction = (gradient, rank, previous) => {
  const vectors = singularVectors(gradient, rank);
  if (!previous) return vectors;
  const isSame = tf.greaterEqual(tf.sum(tf.mul(vectors, previous), 0), 0);
  return tf.mul(vectors, tf.where(isSame, 1, -1));
};

/** For {@link exactBasis} where the backend has no SVD. */
export const hostSvd = new OnDemand(() => import('./host_svd'));

function singularVectors(gradient: tf.Tensor2D, rank: number): tf.Tensor2D {
  const [rows, columns] = gradient.shape;
  const onDevice = runKernel(OwLoreLeftSingularVectors, {matrix: gradient})?.[0];
  if (onDevice) return tf.slice(onDevice as tf.Tensor2D, 0, [rows, rank]);
  const {leftSingularVectors} = hostSvd.loaded!;
  const vectors = leftSingularVectors(gradient.dataSync(), [rows, columns], rank);
  return tf.tensor2d(vectors, [rows, rank], 'float32');
}

/** This library's bases, by their names in the option `basis`. */
const ownBases: Readonly<Record<BasisName, BasisFunction>> = {
  randomized: randomizedBasis,
  svd: exactBasis,
};

/** How a rule makes bases of its own; undefined where the option `basis` says how. A user's function goes before a rule's. */
export function ownBasis({
  update,
  basis,
}: Pick<ResolvedOwLoreOptions, 'update' | 'basis'>): UpdateRule['basis'] {
  return typeof basis === 'function' ? undefined : updateRules[update].basis;
}

/**
 * A new basis for a variable from its gradient.
 *
 * @param previous The basis that it replaces, if there is one.
 * @param options The optimizer's.
 * @param step How many steps the optimizer has made.
 * @throws Error if a user's function returns something that is not a basis.
 */
export function computeBasis(
  variable: string,
  gradient: tf.Tensor,
  projection: Projection,
  previous: tf.Tensor2D | null,
  options: Pick<ResolvedOwLoreOptions, 'basis' | 'update'>,
  step: number,
): tf.Tensor2D {
  return tf.tidy(() => {
    const {basis: option} = options;
    const own = ownBasis(options)?.(basisShape(projection), step);
    if (own) return own;
    const matrix = asMatrix(gradient, projection);
    const oriented = projection.side === 'left' ? matrix : tf.transpose<tf.Tensor2D>(matrix);
    if (typeof option === 'string') {
      return ownBases[option](oriented, projection.rank, previous, variable);
    }
    const basis = option(oriented, projection.rank, previous, variable);
    checkBasis(variable, basis, basisShape(projection));
    // Cloned, because the function may return the old basis or the gradient, which will be freed.
    return tf.clone(basis);
  });
}

/** Throws unless the result of a user's function is a basis. */
function checkBasis(variable: string, basis: unknown, shape: readonly number[]): void {
  const fail = (what: string): never => {
    throw new Error(
      `OwLoreOptimizer: the basis of '${variable}' ${what}; nothing was changed. The function 'basis' must return a float32 ` +
        `tensor of the shape [${shape}], with orthonormal columns`,
    );
  };
  if (!(basis instanceof tf.Tensor)) {
    return fail(basis instanceof Promise ? 'is a promise' : `is no tensor but ${display(basis)}`);
  }
  if (basis.isDisposed) fail('is disposed');
  if (basis.dtype !== 'float32') fail(`is ${basis.dtype}`);
  if (!tf.util.arraysEqual(basis.shape as number[], [...shape]))
    fail(`has the shape [${basis.shape}]`);
  if (!readsSynchronously()) return;
  const wrong = basis.dataSync<'float32'>().find((x) => !Number.isFinite(x));
  if (wrong !== undefined) fail(`has a ${wrong}`);
}

/** Whether the next step of a projected variable gives it a new basis. */
export function isRefreshDue(
  {basis, basisSteps}: Pick<VariableState, 'basis' | 'basisSteps'>,
  {refreshInterval}: ResolvedOwLoreOptions,
): boolean {
  return !basis || basisSteps >= refreshInterval;
}

/** The basis that a new one replaces, with columns of length 1; null if there is none. The state's own, or a new tensor for the caller's tidy. */
export function previousBasis(
  {basis}: Pick<VariableState, 'basis'>,
  options: ResolvedOwLoreOptions,
): tf.Tensor2D | null {
  return basis && scalesDirections(options) ? withUnitColumns(basis) : basis;
}

/** Whether the columns of a basis have other lengths than 1. */
export function scalesDirections({scale, update}: ResolvedOwLoreOptions): boolean {
  return scale === 'auto' && updateRules[update].scalesDirections;
}
