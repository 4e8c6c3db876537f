import type * as tf from '@tensorflow/tfjs-core';
import {hasData, interceptOps, nextTensorId, watchDataUses, type OpCall} from '../tfjs/engine';

/** The ops that a function has run, and how long each of their results was in use. */
export interface OpSequence {
  /** What each op was, and which results it read. */
  ops: readonly string[];
  /** By the number of an op: names of results that no op reads after it. */
  unreadAfter: ReadonlyMap<number, readonly string[]>;
  /** The number of the last op that computes something, if its results were only returned and reshaped; else Infinity. */
  onlyReturned: number;
}

/** Whether the next op is one whose results are not read, in the second run that is going on. */
let isNextUnread: (() => boolean) | null = null;

/**
 * Whether the next op may leave out its value: it is the last one of a function that runs again for its gradient, after which the
 * value is disposed of. What the gradient reads of the op must be computed.
 */
export function isNextValueUnread(): boolean {
  return isNextUnread?.() ?? false;
}

/**
 * Runs `body` and notes its ops. A result that something other than an op uses (it is kept, assigned to a variable, or read by the
 * host), or that no op reads, counts as in use to the end.
 */
export function noteOps<T extends tf.Tensor[]>(body: () => T): {result: T; sequence: OpSequence} {
  const ops: string[] = [];
  const lastReads = new Map<string, number>();
  const leaving = new Set<string>();
  const watch = new OpWatch({
    onRead: (name, number) => lastReads.set(name, number),
    onLeave: (names) => names.forEach((name) => leaving.add(name)),
    afterOp: (op) => ops.push(op),
  });
  const result = watch.run(body);
  const onlyReturned = onlyReturnedOf(ops, leaving);
  const unreadAfter = new Map<number, string[]>();
  for (const [name, number] of lastReads) {
    if (!leaving.has(name)) unreadAfter.set(number, [...(unreadAfter.get(number) ?? []), name]);
  }
  return {result, sequence: {ops, unreadAfter, onlyReturned}};
}

/**
 * Runs `body` a second time and disposes of each result after the last op that reads it; a `tidy` would hold it to the end. From
 * the first op on that differs from the first run, nothing is disposed of. The value of the last op may be left out
 * ({@link isNextValueUnread}).
 *
 * @throws {@link readAgain} if something is read that was disposed of before, or may have been left out.
 */
export function runFreeing<T>({ops, unreadAfter, onlyReturned}: OpSequence, body: () => T): T {
  const results = new Map<string, tf.Tensor>();
  const freed = new Set<string>();
  let isSame = true;
  let mayBeOmitted = false;
  const isOmitted = (name: string): boolean => mayBeOmitted && numberOf(name) >= onlyReturned;
  const watch = new OpWatch({
    onRead(name, _, kernelName) {
      if (freed.has(name) || (isOmitted(name) && kernelName !== 'Reshape')) throw readAgain;
    },
    // A tensor of another name may share the data.
    onLeave(names, dataId) {
      if (!hasData(dataId) || names.some(isOmitted)) throw readAgain;
    },
    onResult: (name, tensor) => results.set(name, tensor),
    afterOp(op, number) {
      isSame &&= op === ops[number];
      if (!isSame) return;
      for (const name of unreadAfter.get(number) ?? []) {
        results.get(name)!.dispose();
        results.delete(name);
        freed.add(name);
      }
    },
  });
  const outer = isNextUnread;
  isNextUnread = () => {
    const isUnread = isSame && watch.next === onlyReturned;
    mayBeOmitted ||= isUnread;
    return isUnread;
  };
  try {
    return watch.run(body);
  } finally {
    isNextUnread = outer;
  }
}

/** The second run of a function has read what its first run did not. One for all: it is caught, and a stack takes long to make. */
export const readAgain = new Error('read again');

interface OpEvents {
  /** Op `number`, of a kernel or a custom gradient, reads a result. */
  onRead(name: string, number: number, kernelName: string | undefined): void;
  /** The data of some results is used by something other than an op. */
  onLeave(names: readonly string[], dataId: object): void;
  /** Op `number` has put out a tensor. */
  onResult?(name: string, tensor: tf.Tensor): void;
  afterOp(op: string, number: number): void;
}

/** Watches the ops that a function runs; what runs inside of an op is a part of it. Results have the same names in every run. */
class OpWatch {
  private readonly names = new Map<number, string>();
  private readonly namesByData = new Map<object, string[]>();
  private count = 0;
  private isInOp = false;

  constructor(private readonly events: OpEvents) {}

  /** The number of the next op; none, −1, while an op runs. */
  get next(): number {
    return this.isInOp ? -1 : this.count;
  }

  run<T>(body: () => T): T {
    const since = nextTensorId();
    const onUse = (dataId: object): void => {
      const names = this.namesByData.get(dataId);
      if (names) this.events.onLeave(names, dataId);
    };
    return interceptOps(
      (call, run) => this.runOp(call, since, () => run(call)),
      () => watchDataUses(onUse, body),
    );
  }

  private runOp<T extends tf.Tensor | tf.Tensor[]>(call: OpCall, since: number, run: () => T): T {
    const inputs = Object.entries(call.inputs).filter(([, tensor]) => tensor != null);
    const number = this.isInOp ? this.count - 1 : this.count++;
    for (const [, {id}] of inputs) {
      const name = this.names.get(id);
      if (name !== undefined) this.events.onRead(name, number, call.kernelName);
    }
    if (this.isInOp) return run();
    this.isInOp = true;
    let result: T;
    try {
      result = run();
    } finally {
      this.isInOp = false;
    }
    [result].flat().forEach((tensor, i) => {
      if (tensor.id >= since && !this.names.has(tensor.id)) this.add(`${number}.${i}`, tensor);
    });
    const read = inputs.map(
      ([key, {id, shape}]) => `${key}: ${this.names.get(id) ?? `[${shape}]`}`,
    );
    this.events.afterOp(`${call.kernelName ?? 'custom gradient'} ${read.join()}`, number);
    return result;
  }

  private add(name: string, tensor: tf.Tensor): void {
    this.names.set(tensor.id, name);
    const {dataId} = tensor;
    this.namesByData.set(dataId, [...(this.namesByData.get(dataId) ?? []), name]);
    this.events.onResult?.(name, tensor);
  }
}

/**
 * The number of the last op but for reshapes.
 *
 * @param used Names of results that something other than an op uses.
 * @returns Infinity if they are among those of this op and the reshapes, or there is no such op.
 */
function onlyReturnedOf(ops: readonly string[], used: ReadonlySet<string>): number {
  let last = ops.length - 1;
  while (ops[last]?.startsWith('Reshape ')) last--;
  const isUsed = [...used].some((name) => numberOf(name) >= last);
  return isUsed || last < 0 ? Infinity : last;
}

/** The number of the op that put out a result. */
function numberOf(name: string): number {
  return Number(name.split('.')[0]);
}
