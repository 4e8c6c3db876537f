/**
 * Gradients that are not made: sums of terms Lᵀ·X, of which some rows at a time can be made. A vocabulary's gradient
 * [vocab, hidden] is such a sum, with a row of L and X for each token of the batch.
 *
 * tfjs asks of a gradient only that it is a `tf.Tensor` of the right shape and dtype. A tensor whose data id is unknown to the
 * engine passes through it as any other, and no scope owns it; an op that reads it throws.
 */
import * as tf from '@tensorflow/tfjs-core';
import {eye} from '../kernels/host_tensors';
import {largestMagnitude, squaredNorm} from '../kernels/norms';
import {piecesOf} from '../kernels/pieces';
import {nextTensorId, tidy} from '../tfjs/engine';

/** Some rows of a sum of terms, and of the weight whose gradient it is. */
export interface RowRange {
  from: number;
  count: number;
  /** The weight's rows [count, width], with `width` the columns of X; made when they are first asked for. */
  weight(): tf.Tensor2D;
}

type Tensors = Readonly<Record<string, tf.Tensor>>;

/** A kind of terms. */
export interface TermKind {
  /** Its name in saved states. */
  readonly name: string;
  /** The tensors of such a term, each with its number of axes. All have a row for each row of X. */
  readonly axes: Readonly<Record<string, 1 | 2>>;
  /** The name of the tensor that the term is proportional to: a multiple of the term is made of a multiple of it. */
  readonly scaled: string;
  /** How many numbers a row takes while it is made, beside its own. */
  rowSize(tensors: Tensors): number;
  /** X [n, width]. */
  factor(tensors: Tensors): tf.Tensor2D;
  /** For each Y [n, k]: the rows [count, k] of Lᵀ·Y. */
  rows(tensors: Tensors, ys: readonly tf.Tensor2D[], range: RowRange): tf.Tensor2D[];
}

/** A term; its tensors belong to the gradient that has it. */
export interface GradientTerm {
  kind: TermKind;
  tensors: Tensors;
}

/** A gradient that was made as a tensor, [rows, width], and is now one of the terms of a sum. */
const dense: TermKind = {
  name: 'dense',
  axes: {values: 2},
  scaled: 'values',
  rowSize: () => 0,
  factor: ({values}) => values as tf.Tensor2D,
  rows: (_, ys, {from, count}) => ys.map((y) => tf.slice(y, [from, 0], [count, y.shape[1]])),
};

/** By name, which is what a saved state has of it. */
const kinds = new Map([[dense.name, dense]]);

/** Makes a kind known, for states that were saved with it. */
export function defineTermKind(kind: TermKind): TermKind {
  kinds.set(kind.name, kind);
  return kind;
}

/** The kind of this name, if it is known. */
export function termKind(name: string): TermKind | undefined {
  return kinds.get(name);
}

/** Numbers of the largest tensors that are made at a time; 4 MB. */
export const PIECE_SIZE = 2 ** 20;

/** What {@link FactoredGradient.reduce} is to compute. G [rows, width] is the sum of the terms: the variable's gradient or its transpose. */
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

/** A gradient that is the sum of terms, or its transpose. */
export class FactoredGradient extends tf.Tensor {
  /**
   * @param shape Of the variable, a matrix.
   * @param axis The axis of the variable that the rows of the sum are along: 0, or 1 where it is the transpose of the sum.
   * @param terms No two of a kind.
   */
  constructor(
    shape: readonly [number, number],
    readonly axis: 0 | 1,
    readonly terms: readonly GradientTerm[],
  ) {
    super([...shape], 'float32', {}, nextTensorId());
  }

  /** A gradient whose terms' tensors no scope will free, but {@link dispose} will. */
  static kept(...args: ConstructorParameters<typeof FactoredGradient>): FactoredGradient {
    const gradient = new FactoredGradient(...args);
    for (const tensor of gradient.tensors) tf.keep(tensor);
    return gradient;
  }

  get tensors(): tf.Tensor[] {
    return this.terms.flatMap(({tensors}) => Object.values(tensors));
  }

  /** The sum of both, of which it disposes. */
  plus(other: tf.Tensor): FactoredGradient {
    const terms = new Map(this.terms.map((term) => [term.kind, term]));
    for (const term of 'terms' in other
      ? (other as FactoredGradient).terms
      : [this.denseTerm(other)]) {
      const own = terms.get(term.kind);
      terms.set(term.kind, own ? joined(own, term) : term);
    }
    return this.of([...terms.values()]);
  }

  /** The product with a number, in the place of the gradient. */
  times(factor: number): FactoredGradient {
    const terms = this.terms.map(({kind, tensors}) => {
      const before = tensors[kind.scaled]!;
      const scaled = tf.mul(before, factor);
      before.dispose();
      return {kind, tensors: {...tensors, [kind.scaled]: scaled}};
    });
    return this.of(terms);
  }

  /** A kept copy. */
  copy(): FactoredGradient {
    const copied = (tensors: Tensors): Tensors =>
      Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, tf.clone(x)]));
    return this.of(this.terms.map(({kind, tensors}) => ({kind, tensors: copied(tensors)})));
  }

  /** Computes what is wanted of a gradient of `variable`, in one pass over its rows. */
  reduce(variable: tf.Tensor, wanted: Wanted): Reduced {
    return reduce(this, variable, wanted);
  }

  override dispose(): void {
    tf.dispose(this.tensors);
    this.isDisposedInternal = true;
  }

  private of(terms: readonly GradientTerm[]): FactoredGradient {
    return FactoredGradient.kept(this.shape as [number, number], this.axis, terms);
  }

  private denseTerm(gradient: tf.Tensor): GradientTerm {
    if (this.axis === 0) return {kind: dense, tensors: {values: gradient}};
    const values = tf.transpose(gradient);
    gradient.dispose();
    return {kind: dense, tensors: {values}};
  }
}

/** Two terms of a kind as one: of the rows of both. */
function joined(a: GradientTerm, b: GradientTerm): GradientTerm {
  const {kind} = a;
  const join = kind === dense ? tf.add : (x: tf.Tensor, y: tf.Tensor) => tf.concat([x, y]);
  const tensors = Object.entries(a.tensors).map(([name, x]) => {
    const y = b.tensors[name]!;
    const both = join(x, y);
    tf.dispose([x, y]);
    return [name, both] as const;
  });
  return {kind, tensors: Object.fromEntries(tensors)};
}

/** One pass over the rows of a gradient of `variable`. */
function reduce(
  {terms, axis}: FactoredGradient,
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
    const max = rowsAtATime(terms, xs[0]!.shape[1]);
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
    for (const {from, count, isStandIn} of piecesOf(rows, max)) {
      if (isStandIn) {
        parts.push(...parts.slice(0, 1).map((part) => longer(part, axis, count)));
        continue;
      }
      const range = rangeOf(variable, axis, from, count);
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
  const termRows = terms.map(({kind, tensors}, i) => kind.rows(tensors, ys[i]!, range));
  return termRows.reduce((sums, rows) => sums.map((sum, i): tf.Tensor2D => tf.add(sum, rows[i]!)));
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

/** A tensor like a part, of `count` rows. */
function longer({shape}: tf.Tensor2D, axis: 0 | 1, count: number): tf.Tensor2D {
  return tf.fill(axis === 0 ? [count, shape[1]] : [shape[0], count], 0);
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
    const trace = tf.sum(tf.mul(gram, eye(gram.shape[0])));
    return tf.mul<tf.Scalar>(tf.mul(trace, scale), scale);
  });
}
