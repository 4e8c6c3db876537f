/**
 * What a step needs of a gradient in terms (`TermGradient`) in place of the gradient: R = G·P, ‖G‖², and GᵀG for a new basis, all
 * made from some rows of G at a time. G [rows, width] is here the sum of the terms: the variable's gradient or, with axis 1, its
 * transpose. Then R and P are those of the side `right` of G, and R has to be transposed.
 */
import * as tf from '@tensorflow/tfjs-core';
import {tidy} from '../tfjs/engine';
import type {GradientTerm, RowRange, TermGradient} from '../tfjs/term_gradient';
import {basisOfGram} from './basis';
import {squaredNorm, UNIT} from './finite_check';
import {largestMagnitude} from './orthonormalize';
import {termAxis, type TermSteps} from './term_steps';
import type {StepSettings, Update} from './pending_update';
import {inNewBasis, isRefreshDue, previousBasis, projectGradient} from './update';

/** Numbers of the largest tensors that are made at a time; 4 MB. */
export const PIECE_SIZE = 2 ** 20;

/**
 * As `projectGradient` of the gradient itself, which is not made; only if its rows are not along {@link termAxis} it is.
 *
 * @param isMeasured Whether ‖G‖² is asked for. It is null if it is not, and R is in the present basis.
 */
export function projectTerms(
  update: Update,
  gradient: TermGradient,
  settings: Pick<StepSettings, 'options' | 'step'>,
  isMeasured: boolean,
): {update: Update; squaredNorm: tf.Scalar | null} {
  const {variable, projection, state} = update;
  const {options} = settings;
  if (termAxis(variable, projection, options) !== gradient.axis) {
    const whole = madeOf(gradient, variable);
    const squares = squaredNorm(whole);
    return {
      update: projectGradient({...update, gradient: whole, whole: update.whole && whole}, settings),
      squaredNorm: squares,
    };
  }
  if (!isRefreshDue(state, options)) {
    const {projected, squares} = reduceTerms(gradient, variable, {basis: state.basis!, isMeasured});
    return {update: {...update, gradient: projected!}, squaredNorm: squares};
  }
  const {gram, squares} = reduceTerms(gradient, variable, {hasGram: true});
  const basis = basisOfGram(gram!, projection!.rank, previousBasis(state, options));
  const {projected} = reduceTerms(gradient, variable, {basis});
  return {update: inNewBasis(update, basis, projected!, options), squaredNorm: squares};
}

/** R of a gradient in terms. */
export function projectedTerms(
  gradient: TermGradient,
  variable: tf.Variable,
  basis: tf.Tensor2D,
): tf.Tensor2D {
  return reduceTerms(gradient, variable, {basis}).projected!;
}

/** ‖2⁻⁸⁰·G‖² of a gradient in terms. */
export function scaledTermNorm(gradient: TermGradient, variable: tf.Variable): tf.Scalar {
  return reduceTerms(gradient, variable, {isMeasured: true, unit: UNIT}).squares!;
}

/** The gradient itself. */
function madeOf(gradient: TermGradient, variable: tf.Variable): tf.Tensor2D {
  return reduceTerms(gradient, variable, {isMade: true}).whole!;
}

/** What {@link reduceTerms} is to compute. */
export interface Wanted {
  /** P [width, rank], for R. */
  basis?: tf.Tensor2D;
  /** Whether ‖G‖² is wanted. */
  isMeasured?: boolean;
  /** What G is multiplied by, for ‖G‖² alone. Default 1. */
  unit?: number;
  /** Whether GᵀG is wanted, and ‖G‖² with it. */
  hasGram?: boolean;
  /** Whether G is wanted. */
  isMade?: boolean;
}

/** What it has computed; null: it was not asked for. */
export interface Reduced {
  /** R, as the optimizer has it for the variable. */
  projected: tf.Tensor2D | null;
  /** ‖G‖². */
  squares: tf.Scalar | null;
  /** GᵀG [width, width], divided by a number that brings its entries near 1. */
  gram: tf.Tensor2D | null;
  /** The variable's gradient. */
  whole: tf.Tensor2D | null;
}

/** One pass over the rows of a gradient of `variable`. */
export function reduceTerms(
  {terms, axis}: TermGradient,
  variable: tf.Tensor,
  {basis, isMeasured = false, unit, hasGram = false, isMade = false}: Wanted,
): Reduced {
  return tidy('terms of a gradient', () => {
    const xs = terms.map(({kind, tensors}) => kind.factor(tensors));
    // So that no square of a tiny or huge gradient leaves float32.
    const scale = hasGram ? largestOf(xs) : null;
    const divided = (x: tf.Tensor2D): tf.Tensor2D =>
      scale ? tf.div(x, scale) : unit === undefined ? x : tf.mul(x, unit);
    const needsRows = isMeasured || hasGram || isMade;
    const ys = xs.map((x): tf.Tensor2D[] => [
      ...(basis ? [tf.matMul<tf.Tensor2D>(x, basis)] : []),
      ...(needsRows ? [divided(x)] : []),
    ]);
    const rows = variable.shape[axis]!;
    const most = rowsAtATime(terms, xs[0]!.shape[1]);
    const parts: tf.Tensor2D[] = [];
    let sum: tf.Tensor | null = null;
    const take = (range: RowRange): tf.Tensor[] => {
      const pieces = rowsOf(terms, ys, range);
      const last = pieces.at(-1)!;
      const part = basis || isMade ? [inLayout(pieces[0]!, axis)] : [];
      if (!hasGram && !isMeasured) return part;
      const summand = hasGram ? tf.matMul(last, last, true) : squaredNorm(last);
      return [sum ? tf.add(sum, summand) : summand, ...part];
    };
    for (let from = 0; from < rows; from += most) {
      const range = rangeOf(variable, axis, from, Math.min(most, rows - from));
      const made = tidy('rows of a gradient', () => take(range));
      if (hasGram || isMeasured) {
        sum?.dispose();
        sum = made.shift()!;
      }
      parts.push(...(made as tf.Tensor2D[]));
    }
    const joined = parts.length > 0 ? tf.concat(parts, axis) : null;
    return {
      projected: isMade ? null : joined,
      whole: isMade ? joined : null,
      gram: hasGram ? (sum as tf.Tensor2D) : null,
      squares: scale ? traceOf(sum as tf.Tensor2D, scale) : (sum as tf.Scalar | null),
    };
  });
}

/** Some rows of the sum of all terms: for each y of a term, those of Lᵀ·y. */
function rowsOf(
  terms: readonly GradientTerm[],
  ys: readonly tf.Tensor2D[][],
  range: RowRange,
): tf.Tensor2D[] {
  const ofTerms = terms.map(({kind, tensors}, i) => kind.rows(tensors, ys[i]!, range));
  return ofTerms.reduce((sums, rows) => sums.map((sum, i): tf.Tensor2D => tf.add(sum, rows[i]!)));
}

function rowsAtATime(terms: readonly GradientTerm[], width: number): number {
  const sizes = terms.map(({kind, tensors}) => kind.rowSize(tensors));
  return Math.max(1, Math.floor(PIECE_SIZE / Math.max(width, ...sizes)));
}

function rangeOf(variable: tf.Tensor, axis: 0 | 1, from: number, count: number): RowRange {
  const weight = (): tf.Tensor2D => {
    const [rows, columns] = variable.shape as [number, number];
    if (axis === 0) return tf.slice(variable as tf.Tensor2D, [from, 0], [count, columns]);
    return tf.transpose(tf.slice(variable as tf.Tensor2D, [0, from], [rows, count]));
  };
  return {from, count, weight};
}

function inLayout(rows: tf.Tensor2D, axis: 0 | 1): tf.Tensor2D {
  return axis === 0 ? rows : tf.transpose(rows);
}

function largestOf(xs: readonly tf.Tensor[]): tf.Tensor {
  return tf.max(tf.stack(xs.map((x) => largestMagnitude(x))));
}

/** ‖G‖² from GᵀG of G divided by `scale`. */
function traceOf(gram: tf.Tensor2D, scale: tf.Tensor): tf.Scalar {
  return tidy('trace', () => {
    const trace = tf.sum(tf.mul(gram, tf.eye(gram.shape[0])));
    return tf.mul<tf.Scalar>(tf.mul(trace, scale), scale);
  });
}

/** For {@link termSteps}. */
export const ofTerms: TermSteps = {projectTerms, projectedTerms, scaledTermNorm};
