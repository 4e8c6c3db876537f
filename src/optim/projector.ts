import * as tf from '@tensorflow/tfjs-core';
import {OwLoreProject} from '../kernels/kernel_names';
import {runKernel} from '../kernels/run_kernel';
import type {Moments} from './adam';
import {smallestNormal} from './largest_magnitude';

/** `left`: the basis spans rows, R = PᵀG. `right`: it spans columns, R = G·P. */
export type Side = 'left' | 'right';

/**
 * How one variable is projected. The variable, a matrix [rows, columns] (kernels of more axes are reshaped row-major to
 * [everything else, last axis]), keeps its Adam state in the coordinates of a basis P with orthogonal columns, of length 1 but for
 * `scale: 'auto'`:
 * left P [rows, rank], R [rank, columns]; right P [columns, rank], R [rows, rank].
 */
export interface Projection {
  rows: number;
  columns: number;
  rank: number;
  side: Side;
}

/**
 * How a variable of `shape` is projected at `rank`; null if it is not: it has to have more rows and more columns than the rank,
 * and a smaller optimizer state with the projection than without. `paper` takes the smaller dimension for the basis (GaLore,
 * Alg. 2), `auto` the side with the smaller state (optax), where the basis is of the larger dimension.
 */
export function planProjection(
  shape: readonly number[],
  rank: number,
  side: Side | 'auto' | 'paper',
): Projection | null {
  if (shape.length < 2) return null;
  const columns = shape[shape.length - 1]!;
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const projection = {rows, columns, rank, side: resolveSide(side, rows, columns)};
  const isLowRank = rank < Math.min(rows, columns);
  return isLowRank && stateSize(projection) < 2 * rows * columns ? projection : null;
}

/** Numbers kept for a projected variable: basis and two moments. Without projection it is 2·rows·columns. */
export function stateSize({rows, columns, rank, side}: Projection): number {
  return side === 'left' ? rank * (rows + 2 * columns) : rank * (columns + 2 * rows);
}

/** Shape of R, and so of the moments. */
export function projectedShape({rows, columns, rank, side}: Projection): [number, number] {
  return side === 'left' ? [rank, columns] : [rows, rank];
}

/** Shape of the basis P. */
export function basisShape({rows, columns, rank, side}: Projection): [number, number] {
  return [side === 'left' ? rows : columns, rank];
}

/** A projected variable's gradient as the matrix [rows, columns]. */
export function asMatrix(gradient: tf.Tensor, {rows, columns}: Projection): tf.Tensor2D {
  return tf.reshape(gradient, [rows, columns]);
}

/** R = PᵀG or G·P (GaLore, Alg. 2) of a gradient of the variable's shape. */
export function project(
  gradient: tf.Tensor,
  basis: tf.Tensor2D,
  projection: Projection,
): tf.Tensor2D {
  return tf.tidy(() => {
    const matrix = gradient.rank === 2 ? gradient : asMatrix(gradient, projection);
    const {side} = projection;
    const [fused] = runKernel(OwLoreProject, {gradient: matrix, basis}, {side}) ?? [];
    if (fused) return fused as tf.Tensor2D;
    return side === 'left' ? tf.matMul(basis, matrix, true) : tf.matMul<tf.Tensor2D>(matrix, basis);
  });
}

/** P·N or N·Pᵀ: a low-rank step back in the weight's own space. */
export function projectBack(step: tf.Tensor2D, basis: tf.Tensor2D, side: Side): tf.Tensor2D {
  return side === 'left' ? tf.matMul(basis, step) : tf.matMul(step, basis, false, true);
}

/**
 * Moments of the old basis' coordinates expressed in the new one's, `steps` Adam steps old (after LDAdam, Robert et al.
 * 2024): with Q = P_newᵀP_old, m ← Qm and v ← (1 − β₂ᵗ)·|(Q∘Q)(v̂ − m̂∘m̂) + (Qm̂)∘(Qm̂)|. Columns of the bases may have other lengths
 * than 1; then those of P_old are divided by the squares of theirs, as R = P_oldᵀG is of P_old·diag(1/|p|²)·R. Returns new tensors.
 */
export function rotateMoments(
  {first, second}: Moments,
  oldBasis: tf.Tensor2D,
  newBasis: tf.Tensor2D,
  side: Side,
  steps: number,
  {beta1, beta2}: {beta1: number; beta2: number},
): Moments {
  const squares = tf.maximum(tf.sum(tf.square(oldBasis), 0), smallestNormal());
  const rotation: tf.Tensor2D = tf.matMul(newBasis, tf.div<tf.Tensor2D>(oldBasis, squares), true);
  const rotate = (matrix: tf.Tensor2D, by: tf.Tensor2D): tf.Tensor2D =>
    side === 'left' ? tf.matMul(by, matrix) : tf.matMul(matrix, by, false, true);
  const correction2 = 1 - beta2 ** steps;
  const mean = tf.div<tf.Tensor2D>(first, 1 - beta1 ** steps);
  const variance = tf.sub<tf.Tensor2D>(tf.div(second, correction2), tf.square(mean));
  const rotatedSquare = tf.add(
    rotate(variance, tf.square(rotation)),
    tf.square(rotate(mean, rotation)),
  );
  return {
    first: rotate(first as tf.Tensor2D, rotation),
    second: tf.mul(tf.abs(rotatedSquare), correction2),
  };
}

function resolveSide(side: Side | 'auto' | 'paper', rows: number, columns: number): Side {
  if (side === 'auto') return rows < columns ? 'right' : 'left';
  if (side === 'paper') return rows <= columns ? 'left' : 'right';
  return side;
}
