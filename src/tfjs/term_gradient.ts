/**
 * Gradients that are not made: sums of terms Lᵀ·X, of which some rows at a time can be made. A vocabulary's gradient
 * [vocab, hidden] is such a sum, with a row of L and X for each token of the batch.
 *
 * tfjs asks of a gradient only that it is a `tf.Tensor` of the right shape and dtype. A tensor whose data id is unknown to the
 * engine passes through it as any other, and no scope owns it; an op that reads it throws.
 */
import * as tf from '@tensorflow/tfjs-core';
import {nextTensorId} from './engine';

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
  /** The tensor in proportion to which the term is. */
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

/** A gradient that is made elsewhere: it has [rows, width] as any other, and is one of the terms. */
const dense: TermKind = {
  name: 'dense',
  axes: {values: 2},
  scaled: 'values',
  rowSize: () => 0,
  factor: ({values}) => values as tf.Tensor2D,
  rows: (_, ys, {from, count}) => ys.map((y) => tf.slice(y, [from, 0], [count, y.shape[1]])),
};

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

/** A gradient that is the sum of terms, or its transpose. */
export class TermGradient extends tf.Tensor {
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
  static kept(...args: ConstructorParameters<typeof TermGradient>): TermGradient {
    const gradient = new TermGradient(...args);
    for (const tensor of gradient.tensors) tf.keep(tensor);
    return gradient;
  }

  get tensors(): tf.Tensor[] {
    return this.terms.flatMap(({tensors}) => Object.values(tensors));
  }

  /** The sum of both, of which it disposes. */
  plus(other: tf.Tensor): TermGradient {
    const terms = new Map(this.terms.map((term) => [term.kind, term]));
    for (const term of isTermGradient(other) ? other.terms : [this.denseTerm(other)]) {
      const own = terms.get(term.kind);
      terms.set(term.kind, own ? joined(own, term) : term);
    }
    return this.of([...terms.values()]);
  }

  /** The product with a number, in the place of the gradient. */
  times(factor: number): TermGradient {
    const terms = this.terms.map(({kind, tensors}) => {
      const before = tensors[kind.scaled]!;
      const scaled = tf.mul(before, factor);
      before.dispose();
      return {kind, tensors: {...tensors, [kind.scaled]: scaled}};
    });
    return this.of(terms);
  }

  /** A kept copy. */
  copy(): TermGradient {
    const copied = (tensors: Tensors): Tensors =>
      Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, tf.clone(x)]));
    return this.of(this.terms.map(({kind, tensors}) => ({kind, tensors: copied(tensors)})));
  }

  override dispose(): void {
    tf.dispose(this.tensors);
    this.isDisposedInternal = true;
  }

  private of(terms: readonly GradientTerm[]): TermGradient {
    return TermGradient.kept(this.shape as [number, number], this.axis, terms);
  }

  private denseTerm(gradient: tf.Tensor): GradientTerm {
    if (this.axis === 0) return {kind: dense, tensors: {values: gradient}};
    const values = tf.transpose(gradient);
    gradient.dispose();
    return {kind: dense, tensors: {values}};
  }
}

/** Whether a gradient is one of terms. Not by `instanceof`: tf.Tensor redefines it so that any tensor would be one. */
export function isTermGradient(gradient: tf.Tensor | null | undefined): gradient is TermGradient {
  return gradient instanceof tf.Tensor && 'terms' in gradient;
}

/** A gradient that is made when it is added to what there is already. */
export interface SummandGradient extends tf.Tensor {
  /** The sum with `sum`, where there is one; disposes of both. */
  addedTo(sum: tf.Tensor | undefined): tf.Tensor;
}

/** The sum of two gradients, of which it disposes; without a first one, the second. */
export function addGradients(a: tf.Tensor | undefined, b: tf.Tensor): tf.Tensor {
  if ('addedTo' in b) return (b as SummandGradient).addedTo(a);
  if (!a) return b;
  if (isTermGradient(a)) return a.plus(b);
  if (isTermGradient(b)) return b.plus(a);
  const sum = tf.add(a, b);
  tf.dispose([a, b]);
  return sum;
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

/** Runs `body` in a `tidy`. If it throws, disposes of a gradient in terms, which is in no scope. */
export function tidyWith(gradient: tf.Tensor, body: () => void): void {
  try {
    tf.tidy(body);
  } catch (error) {
    if (isTermGradient(gradient)) gradient.dispose();
    throw error;
  }
}
