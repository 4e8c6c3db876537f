/**
 * The names of this library's own kernels, like tfjs-core's `kernel_names.ts`. A backend that has such a kernel does in one or
 * two passes over memory what otherwise takes several ops. All tensors are float32 unless stated otherwise.
 */

import type {NamedTensorInfoMap, TensorInfo} from '@tensorflow/tfjs-core';

/** `left`: the basis P spans rows, R = PᵀG. `right`: it spans columns, R = G·P. */
export type Side = 'left' | 'right';

export const SIDES = ['left', 'right'] as const satisfies readonly Side[];

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
  side: Side;
}

/**
 * New bases for several matrices, and their gradients in them. For each gradient G [rows, columns], or Gᵀ where the side is `right`:
 * P [m, rank] by a subspace iteration from `previous` or, without one, from `random`, as `owlore/optimizer/state/basis` describes it; then R as
 * {@link OwLoreProject} computes it. With `scalesDirections`, P and R are multiplied by the scales that `owlore/optimizer/step/update` describes.
 *
 * Inputs: `gradient0` [rows, columns]; `random0` and, optionally, `previous0`, both [m, rank], where m is rows (left) or columns
 * (right); `gradient1`, … The outputs are P and R of each.
 */
export const OwLoreRefresh = 'OwLoreRefresh';
export interface OwLoreRefreshAttrs {
  /** One entry for each gradient. */
  refreshes: readonly OwLoreRefreshed[];
  scalesDirections: boolean;
}
export interface OwLoreRefreshed {
  side: Side;
  /** Multiplications by GGᵀ before the last one. */
  multiplications: number;
}

/**
 * One step of Adam for each of several variables: with g = `gradient`·`clip`
 *
 *   first ← first + (1 − β₁)(g − first)
 *   second ← second + (1 − β₂)(g² − second)
 *   N = `rate`·first/(√second + `epsilon`)
 *   variable ← `decay`·variable − N
 *
 * The bias corrections must be contained in rate and epsilon. With a `basis` P the variable is a matrix [rows, columns], moments
 * and gradient are in the subspace of P, and N is taken back from there: P·N (left, P [rows, rank], N [rank, columns]) or N·Pᵀ
 * (right, P [columns, rank], N [rows, rank]), with a rank of at least 1.
 *
 * Inputs are called `variable0`, `first0`, `second0`, `gradient0`, `basis0`, `variable1`, … The outputs are variable, first
 * and second of each. A kernel may change an input in place and return its data as the output, if no other tensor shares them. It may
 * keep `first` and `second` times constants that differ from 1 by no more than the rounding of 1 − β in float32 (1.3e-5 for
 * 0.999), if the variable moves as with exact ones.
 */
export const OwLoreAdam = 'OwLoreAdam';
export interface OwLoreAdamInputs extends NamedTensorInfoMap {
  /** Scalar; default 1. */
  clip?: TensorInfo;
  /** Boolean scalar: if false, the outputs are variable, first and second as they were. Default true. */
  allFinite?: TensorInfo;
}
export interface OwLoreAdamAttrs {
  beta1: number;
  beta2: number;
  /** One entry for each variable. */
  updates: readonly OwLoreUpdate[];
}
export interface OwLoreUpdate {
  rate: number;
  epsilon: number;
  decay: number;
  /** Which dimension of the variable the basis spans; undefined without a basis. */
  side?: Side | undefined;
}
export interface OwLoreUpdateInputs {
  variable: TensorInfo;
  first: TensorInfo;
  second: TensorInfo;
  /** Has the shape of the moments. */
  gradient: TensorInfo;
  basis?: TensorInfo | undefined;
}

/** The inputs of update number `i`. */
export function updateInputs(inputs: OwLoreAdamInputs, i: number): OwLoreUpdateInputs {
  return {
    variable: inputs[`variable${i}`]!,
    first: inputs[`first${i}`]!,
    second: inputs[`second${i}`]!,
    gradient: inputs[`gradient${i}`]!,
    basis: inputs[`basis${i}`],
  };
}

/**
 * `x` [rows, width] with row i of `values` [n, width] added to its row `ids[i]`, for int32 ids [n] in [0, rows − 1]: rows of the same
 * id are first summed up, in their order. A kernel may change `x` in place and return its data as the output, if no other tensor
 * shares them.
 */
export const OwLoreAddRows = 'OwLoreAddRows';
export interface OwLoreAddRowsAttrs {
  /**
   * Whether no data of another id are in the memory of `x`, as those of a reshaped tensor are on tensorflow, which cannot tell. Without
   * it, `x` is not changed there.
   */
  isSoleOwner: boolean;
}
export interface OwLoreAddRowsInputs extends NamedTensorInfoMap {
  x: TensorInfo;
  ids: TensorInfo;
  values: TensorInfo;
}

/**
 * `sum` + `x`, both of one shape. A kernel may change `sum` in place and return its data as the output, if no other tensor shares them.
 */
export const OwLoreAccumulate = 'OwLoreAccumulate';
export interface OwLoreAccumulateInputs extends NamedTensorInfoMap {
  sum: TensorInfo;
  x: TensorInfo;
}

/** ‖x‖² of all numbers of `x`, a scalar. */
export const OwLoreSquaredNorm = 'OwLoreSquaredNorm';

/**
 * Orthonormal columns that span the columns of `matrix` [rows, columns], rows ≥ columns, in their order: the Q of a QR
 * decomposition, up to signs. A column that depends on those before it, in float32 precision, gives a column of zeros or an
 * arbitrary one orthogonal to the rest.
 */
export const OwLoreOrthonormalize = 'OwLoreOrthonormalize';
export interface OwLoreOrthonormalizeInputs extends NamedTensorInfoMap {
  matrix: TensorInfo;
}

/**
 * The same, from the same input, except that the results may be shorter than 1 and not orthogonal in directions in which the
 * columns hardly differ in float32 precision.
 */
export const OwLoreNearlyOrthonormalize = 'OwLoreNearlyOrthonormalize';

/**
 * Left singular vectors of `matrix` [rows, columns], sorted by singular value, the largest first: [rows, min(rows, columns)].
 */
export const OwLoreLeftSingularVectors = 'OwLoreLeftSingularVectors';

/**
 * Sums of A = |weight|·norm over parts of the weight, one number per part; the backend chooses the number of parts. Each float32
 * sum is over so few numbers that the sum of all in float64 is precise enough for a mean.
 */
export const OwLoreMagnitudeSums = 'OwLoreMagnitudeSums';
export interface OwLoreMagnitudeInputs extends NamedTensorInfoMap {
  weight: TensorInfo;
  /** One number for each entry of `weight`, or one for each row along its last axis. */
  norm: TensorInfo;
}

/**
 * How many entries of A = |weight|·norm are above each of the thresholds; int32, one number per threshold. The count is exact: an
 * entry, rounded to float32, is compared with the threshold in float64. An infinite entry is above, NaN is not.
 */
export const OwLoreCountAbove = 'OwLoreCountAbove';
export interface OwLoreCountAboveAttrs {
  thresholds: number[];
}

/**
 * Bfloat16 to float32, exactly: `packed`, int32 [n], has two bfloat16 in each number, that of the lower index in its lower half;
 * the result has the attribute `shape`, of 2n numbers, or of 2n − 1 if the last half is unused.
 */
export const OwLoreUnpackBfloat16 = 'OwLoreUnpackBfloat16';
export interface OwLoreUnpackBfloat16Attrs {
  shape: number[];
}

/**
 * float32 to bfloat16 by stochastic rounding, packed as {@link OwLoreUnpackBfloat16} takes it: `x` of any shape to int32
 * [⌈size / 2⌉]. Has the results of `roundStochastically` (`model/rounding`), except that a device may take subnormal numbers for 0.
 * Only a backend has it whose values a step cannot read.
 */
export const OwLorePackBfloat16 = 'OwLorePackBfloat16';
export interface OwLorePackBfloat16Attrs {
  /** An integer in [0, 2³² − 1]. */
  seed: number;
}
