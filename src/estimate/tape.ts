/**
 * What is in memory while this library's tape runs ops forward and back, in bytes and without a tensor. It follows `src/tape`: an op
 * holds what its gradient will read, and that is freed when the backward pass has gone by; a recomputed part holds its input alone
 * and runs again, each value being freed after its last use; a gradient is freed when it has been used.
 */

/** What bytes count as. */
export type Part = 'weights' | 'gradients' | 'state' | 'activations';
export type Bytes = Record<Part, number>;

/** The bytes that are alive now, by what they count as, and those at the moment at which most were. */
export class Ledger {
  readonly live: Bytes = {weights: 0, gradients: 0, state: 0, activations: 0};
  peak: Bytes = {...this.live};

  add(part: Part, bytes: number): void {
    this.live[part] += bytes;
    if (sum(this.live) > sum(this.peak)) this.peak = {...this.live};
  }

  free(part: Part, bytes: number): void {
    this.live[part] -= bytes;
  }

  /** Something that is made and freed at once. */
  pass(part: Part, bytes: number): void {
    this.add(part, bytes);
    this.free(part, bytes);
  }
}

export function sum(bytes: Bytes): number {
  return Object.values(bytes).reduce((all, each) => all + each, 0);
}

/** An op on values, which are known by name; sizes are in bytes. */
export interface Op {
  reads: readonly string[];
  writes: string;
  /** Of the value that it writes. */
  size: number;
  /** Values that its gradient reads. */
  keeps?: readonly string[];
  /** Further results that its gradient reads. */
  keepsOwn?: number;
  /** Weights that it reads, whose gradients it makes if they train. */
  weights?: readonly Weight[];
  /** What it makes and frees in the forward pass. */
  work?: number;
  /** What it makes and frees in the backward pass before its gradients are there, and beside them. */
  workBefore?: number;
  backwardWork?: number;
  /** Whether its value is in a scope of its own with the ops that read it, and is freed with that. */
  isInner?: boolean;
  /** Values that it adds to its result: their gradient is that of the result, and no tensor of its own. */
  adds?: readonly string[];
  /** Whether it need not compute its value where only its gradient is asked for. */
  mayOmitValue?: boolean;
}

/** A weight of a block. */
export interface Weight {
  shape: readonly number[];
  isTrained: boolean;
}

/** A part of a model, from the value `x` to the value `out`. */
export interface Program {
  ops: readonly Op[];
  /** Bytes of float32 copies of packed weights, which are there while it runs and, if it is recorded, until its gradients are there. */
  widened: number;
}

/** Called with each weight's gradient, which counts as a gradient by then. */
export type OnGradient = (weight: Weight) => void;

/** Bytes of a number. */
export const FLOAT = 4;

export function bytesOf({shape}: Pick<Weight, 'shape'>): number {
  return shape.reduce((product, size) => product * size, FLOAT);
}

/** One run of a program that was recorded. */
export class Recorded {
  private readonly sizes = new Map<string, number>();
  private readonly holders = new Map<string, number>();

  /**
   * @param ledger Has `x`, whose owner frees it.
   * @param size Of `x`.
   * @param isAgain Whether it runs for its gradients alone, and so frees each value after its last use.
   */
  constructor(
    private readonly program: Program,
    private readonly ledger: Ledger,
    size: number,
    private readonly isAgain: boolean,
  ) {
    const {ops, widened} = program;
    this.sizes.set('x', size);
    for (const {keeps = []} of ops)
      for (const name of keeps) this.holders.set(name, (this.holders.get(name) ?? 0) + 1);
    ledger.add('activations', widened);
    const alive = new Set<string>();
    ops.forEach(({reads, writes, size, keepsOwn = 0, work = 0, mayOmitValue}, i) => {
      const written = isAgain && mayOmitValue ? 0 : size;
      this.sizes.set(writes, written);
      ledger.add('activations', written + keepsOwn);
      ledger.pass('activations', work);
      alive.add(writes);
      if (!isAgain) return;
      const isReadLater = (name: string): boolean =>
        ops.slice(i + 1).some((op) => op.reads.includes(name));
      for (const name of reads) if (alive.has(name) && !isReadLater(name)) this.drop(alive, name);
    });
    // the scope ends; the value is the next part's
    for (const name of alive) if (isAgain || name !== 'out') this.drop(alive, name);
  }

  /** Goes back: `out` has a gradient, which this frees or passes on, and `x` has one in the end. */
  backward(onGradient: OnGradient): void {
    const {ledger} = this;
    const gradients = new Map([['out', this.valueSize('out')]]);
    const collected: Weight[] = [];
    for (const op of [...this.program.ops].reverse()) {
      const {reads, writes, adds = [], keeps = [], keepsOwn = 0, weights = []} = op;
      const ofResult = gradients.get(writes)!;
      const trained = weights.filter(({isTrained}) => isTrained);
      for (const weight of trained) ledger.add('gradients', bytesOf(weight));
      ledger.pass('activations', op.workBefore ?? 0);
      const made = reads.map((name) => (adds.includes(name) ? 0 : this.valueSize(name)));
      made.forEach((size) => ledger.add('activations', size));
      ledger.pass('activations', op.backwardWork ?? 0);
      gradients.delete(writes);
      if (adds.length === 0) ledger.free('activations', ofResult);
      reads.forEach((name, i) => {
        const size = name === adds[0] ? ofResult : made[i]!;
        const earlier = gradients.get(name);
        gradients.set(name, earlier === undefined ? size : this.valueSize(name));
        if (earlier === undefined) return;
        ledger.add('activations', this.valueSize(name));
        ledger.free('activations', earlier + size);
      });
      ledger.free('activations', keepsOwn);
      for (const name of keeps) this.release(name);
      if (this.isAgain) collected.push(...trained);
      else trained.forEach(onGradient);
    }
    ledger.free('activations', this.program.widened);
    collected.forEach(onGradient);
  }

  private valueSize(name: string): number {
    return this.program.ops.find(({writes}) => writes === name)?.size ?? this.sizes.get(name)!;
  }

  /** Frees a value unless it is held. */
  private drop(alive: Set<string>, name: string): void {
    alive.delete(name);
    if (!this.holders.get(name)) this.ledger.free('activations', this.sizes.get(name)!);
  }

  private release(name: string): void {
    const left = this.holders.get(name)! - 1;
    this.holders.set(name, left);
    if (left === 0 && name !== 'x' && name !== 'out')
      this.ledger.free('activations', this.sizes.get(name)!);
  }
}

/**
 * Runs a program whose gradient is not asked for, or will be when it runs again. Its value stays; all others are freed with their
 * scope, at the end or, in an inner one, after their last use.
 */
export function runOnce({ops, widened}: Program, ledger: Ledger): void {
  const before = ledger.live.activations;
  ledger.add('activations', widened);
  ops.forEach(({reads, size, keepsOwn = 0, work = 0}, i) => {
    ledger.add('activations', size);
    ledger.pass('activations', keepsOwn + work);
    const inner = ops.filter(
      ({isInner, writes}) =>
        isInner &&
        reads.includes(writes) &&
        !ops.slice(i + 1).some((op) => op.reads.includes(writes)),
    );
    for (const {size} of inner) ledger.free('activations', size);
  });
  const {size} = ops.at(-1)!;
  ledger.free('activations', ledger.live.activations - before - size);
}
