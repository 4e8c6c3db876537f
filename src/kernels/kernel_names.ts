/**
 * Kernels of this library's own, as tfjs-core's `kernel_names.ts` has its. A backend that has one of them under its name does
 * in a pass or two over memory what else takes several ops. All tensors are float32 if nothing else is said.
 */

import type {NamedTensorInfoMap, TensorInfo} from '@tensorflow/tfjs-core';

/**
 * Moves Adam's moments on by one gradient: first + (1 − β₁)(g − first) and second + (1 − β₂)(g² − second), where g is
 * `gradient` times `clip`. Two outputs, in this order, both of the gradient's shape.
 */
export const OwLoreMoments = 'OwLoreMoments';
export interface OwLoreMomentsInputs extends NamedTensorInfoMap {
  first: TensorInfo;
  second: TensorInfo;
  gradient: TensorInfo;
  /** Scalar; without it 1. */
  clip?: TensorInfo;
  /** Boolean scalar: if false the outputs are the old moments. Without it true. */
  mask?: TensorInfo;
}
export interface OwLoreMomentsAttrs {
  beta1: number;
  beta2: number;
}

/**
 * The variable after a step, `decay`·variable − `rate`·first/(√second + `epsilon`). The bias corrections belong into rate and
 * epsilon.
 */
export const OwLoreStep = 'OwLoreStep';
export interface OwLoreStepInputs extends NamedTensorInfoMap {
  variable: TensorInfo;
  first: TensorInfo;
  second: TensorInfo;
  /** Boolean scalar: if false the output is the variable as it is. Without it true. */
  mask?: TensorInfo;
}
export interface OwLoreStepAttrs {
  rate: number;
  epsilon: number;
  decay: number;
}

/**
 * R, the projection of a matrix [rows, columns]: PᵀG (left, P = `basis` [rows, rank], R [rank, columns]) or G·P (right,
 * P [columns, rank], R [rows, rank]).
 */
export const OwLoreProject = 'OwLoreProject';
export interface OwLoreProjectInputs extends NamedTensorInfoMap {
  gradient: TensorInfo;
  basis: TensorInfo;
}
export interface OwLoreProjectAttrs {
  side: 'left' | 'right';
}

/**
 * The same for a variable [rows, columns] of which the moments are those of its projection: `decay`·variable − P·N (left,
 * P = `basis` [rows, rank], moments [rank, columns]) or − N·Pᵀ (right, P [columns, rank], moments [rows, rank]), where
 * N = `rate`·first/(√second + `epsilon`). The rank is at least 1.
 */
export const OwLoreProjectedStep = 'OwLoreProjectedStep';
export interface OwLoreProjectedStepInputs extends OwLoreStepInputs {
  basis: TensorInfo;
}
export interface OwLoreProjectedStepAttrs extends OwLoreStepAttrs {
  side: 'left' | 'right';
}

/**
 * All of a step in one: {@link OwLoreMoments}, then {@link OwLoreStep}, or with a basis {@link OwLoreProjectedStep}. Three
 * outputs: variable, first, second. Each may be its input, changed in place, if no other tensor shares the data of that.
 */
export const OwLoreAdam = 'OwLoreAdam';
export interface OwLoreAdamInputs extends NamedTensorInfoMap {
  variable: TensorInfo;
  first: TensorInfo;
  second: TensorInfo;
  /** Of the shape of the moments. */
  gradient: TensorInfo;
  /** Scalar; without it 1. */
  clip?: TensorInfo;
  /** As for {@link OwLoreProjectedStep}, with the side. */
  basis?: TensorInfo;
}
export interface OwLoreAdamAttrs extends OwLoreMomentsAttrs, OwLoreStepAttrs {
  side?: 'left' | 'right';
}

/**
 * {@link OwLoreAdam} of several projected variables, for a backend that does it faster together. Inputs `variable0`, `first0`,
 * `second0`, `gradient0`, `basis0`, `variable1`, …, and one `clip`; outputs: three of each in the same order.
 */
export const OwLoreAdamTogether = 'OwLoreAdamTogether';
export interface OwLoreAdamTogetherAttrs extends OwLoreMomentsAttrs {
  /** Of each variable. */
  updates: ReadonlyArray<OwLoreStepAttrs & {side: 'left' | 'right'}>;
}

/** ‖x‖² of all numbers of `x`, a scalar. */
export const OwLoreSquaredNorm = 'OwLoreSquaredNorm';
export interface OwLoreSquaredNormInputs extends NamedTensorInfoMap {
  x: TensorInfo;
}

/**
 * Orthonormal columns that span the columns of `matrix` [rows, columns], rows ≥ columns, in their order: a QR decomposition's
 * Q, to the sign. A column that depends on those before it, to float32, gives a column of zeros or an arbitrary one
 * orthogonal to the rest.
 */
export const OwLoreOrthonormalize = 'OwLoreOrthonormalize';
export interface OwLoreOrthonormalizeInputs extends NamedTensorInfoMap {
  matrix: TensorInfo;
}

/**
 * The same, from the same input, but in directions in which the columns hardly differ, to float32: there the results may be shorter
 * than 1, and not orthogonal.
 */
export const OwLoreNearlyOrthonormalize = 'OwLoreNearlyOrthonormalize';

/**
 * Left singular vectors of `matrix` [rows, columns], of the largest singular values first: [rows, min(rows, columns)].
 */
export const OwLoreLeftSingularVectors = 'OwLoreLeftSingularVectors';

/**
 * Sums of A = |weight|·norm over parts of the weight, one number a part; how many parts there are is the backend's choice.
 * Float32 sums of so few numbers each that their sum in float64 is good for a mean.
 */
export const OwLoreMagnitudeSums = 'OwLoreMagnitudeSums';
export interface OwLoreMagnitudeInputs extends NamedTensorInfoMap {
  weight: TensorInfo;
  /** One number for each entry of `weight`, or for each row: all that share their last axis. */
  norm: TensorInfo;
}

/**
 * How many entries of A = |weight|·norm are above each of the thresholds; int32, one number a threshold. Exactly: an entry,
 * rounded to float32, is compared with the threshold in float64. An infinite entry is above, NaN is not.
 */
export const OwLoreCountAbove = 'OwLoreCountAbove';
export interface OwLoreCountAboveAttrs {
  thresholds: number[];
}
