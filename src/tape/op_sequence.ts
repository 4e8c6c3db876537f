import type * as tf from '@tensorflow/tfjs-core';
import {hasData, interceptOps, nextTensorId, watchDataUses, type OpCall} from '../tfjs/engine';

/** The ops that a function has run, and how long each of their results was in use. */
export interface OpSequence {
  /** What each op was, and which results it read. */
  ops: readonly string[];
  /** By the number of an op: names of results that no op reads after it. */
  unreadAfter: ReadonlyMap<number, readonly string[]>;
}

/**
 * Runs `body` and notes its ops. A result that something other than an op uses (it is returned, kept, assigned to a variable, or
 * read by the host), or that nothing uses, counts as in use to the end.
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
  for (const {id} of result) leaving.add(watch.nameOf(id));
  const unreadAfter = new Map<number, string[]>();
  for (const [name, number] of lastReads) {
    if (!leaving.has(name)) unreadAfter.set(number, [...(unreadAfter.get(number) ?? []), name]);
  }
  return {result, sequence: {ops, unreadAfter}};
}

/**
 * Runs `body` a second time and disposes of each result after the last op that reads it; a `tidy` would hold it to the end. From
 * the first op on that differs from the first run, nothing is disposed of.
 *
 * @throws {ReadAgainError} if after such an op something is read that was disposed of before.
 */
export function runFreeing<T>({ops, unreadAfter}: OpSequence, body: () => T): T {
  const results = new Map<string, tf.Tensor>();
  const freed = new Set<string>();
  let isSame = true;
  const watch = new OpWatch({
    onRead(name) {
      if (freed.has(name)) throw new ReadAgainError();
    },
    // A tensor of another name may share the data.
    onLeave(_, dataId) {
      if (!hasData(dataId)) throw new ReadAgainError();
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
  return watch.run(body);
}

/** The second run of a function has read what its first run did not. */
export class ReadAgainError extends Error {}

interface OpEvents {
  /** Op `number` reads a result. */
  onRead(name: string, number: number): void;
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

  /** The name of a tensor with this id; none, '', if it is not a result of the ops. */
  nameOf(id: number): string {
    return this.names.get(id) ?? '';
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
      if (name !== undefined) this.events.onRead(name, number);
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
