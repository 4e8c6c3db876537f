import * as tf from '@tensorflow/tfjs-core';
import {display} from '../common/options';
import {numberedName} from './numbered_name';

/** Throws unless the arguments are valid for a kernel. */
export type Contract = (given: KernelArguments) => void;

/** A shape in which null stands for any size. */
export type Pattern = ReadonlyArray<number | null>;

/**
 * What a kernel is called with, for checks before the kernel reads or writes memory by these sizes. Only shapes, dtypes and
 * attributes are checked, which are on the host; a message names the kernel, the input and what it must be.
 */
export class KernelArguments {
  /** The inputs that a check has asked for, whether given or not. */
  private asked = new Set<string>();

  constructor(
    readonly kernelName: string,
    readonly backendName: string,
    private readonly inputs: tf.NamedTensorInfoMap,
    readonly attrs: object = {},
    private readonly place: number | null = null,
    private readonly shared: readonly string[] = [],
  ) {}

  /** Fails if an input is given that no check has asked for. */
  refuseOthers(): void {
    const others = Object.keys(this.inputs).filter(
      (name) => this.inputs[name] != null && !this.asked.has(name),
    );
    if (others.length > 0) this.fail(`input '${others[0]}' is none of its inputs`);
  }

  /** Whether an optional input is given. */
  has(name: string): boolean {
    return this.info(name) != null;
  }

  /** The shape of an input, which must be given and have one of the dtypes; by default float32. */
  shape(name: string, ...dtypes: tf.DataType[]): readonly number[] {
    const info = this.info(name);
    if (info?.dataId === undefined) this.fail(`input '${this.nameOf(name)}' is missing`);
    const allowed = dtypes.length > 0 ? dtypes : FLOAT32;
    if (!allowed.includes(info.dtype)) this.refuse(name, `must be ${allowed.join(' or ')}`);
    if ((info as {isDisposed?: boolean}).isDisposed)
      this.fail(`input '${this.nameOf(name)}' is disposed`);
    return info.shape;
  }

  /** Whether an input has a dtype; of one that is missing it is false. */
  isOf(dtype: tf.DataType, name: string): boolean {
    return this.info(name)?.dtype === dtype;
  }

  /** The shape of an input, which must match a pattern. */
  match(name: string, pattern: Pattern, ...dtypes: tf.DataType[]): readonly number[] {
    const shape = this.shape(name, ...dtypes);
    if (!matches(shape, pattern)) {
      const wanted = pattern.map((size) => size ?? 'any').join(',');
      this.refuse(name, `must have the shape [${wanted}]`);
    }
    return shape;
  }

  /** The sizes of a matrix. */
  matrix(name: string): [rows: number, columns: number] {
    return this.match(name, [null, null]) as [number, number];
  }

  /** Checks inputs that must all have one shape. */
  alike(pattern: Pattern, ...names: string[]): void {
    for (const name of names) this.match(name, pattern);
  }

  /** A scalar that may be missing. */
  scalar(name: string, dtype: tf.DataType = 'float32'): void {
    if (this.has(name)) this.match(name, [], dtype);
  }

  /** Attributes that must be finite numbers of at least `min`. */
  finite(min: number, ...names: string[]): void {
    for (const name of names) this.number(name, (x) => Number.isFinite(x) && x >= min, `>= ${min}`);
  }

  /** Attributes that must be numbers from 0 to 1. */
  fraction(...names: string[]): void {
    for (const name of names) this.number(name, (x) => x >= 0 && x <= 1, 'from 0 to 1');
  }

  /** An attribute that must be an integer of at least `min`. */
  integer(name: string, min: number): number {
    return this.number(name, (x) => Number.isInteger(x) && x >= min, `an integer >= ${min}`);
  }

  /** An attribute that must be one of some values. */
  oneOf<T>(name: string, choices: readonly T[]): T {
    const value = this.attr(name) as T;
    if (!choices.includes(value)) {
      const wanted = choices.map((choice) => display(choice)).join(', ');
      this.fail(`attribute '${name}' must be one of ${wanted}; got ${display(value)}`);
    }
    return value;
  }

  flag(name: string): boolean {
    return this.oneOf(name, [true, false]);
  }

  /** An attribute that must be a list of `length` sizes. */
  sizes(name: string, length: number): readonly number[] {
    const value = this.attr(name);
    if (areSizes(value) && value.length === length) return value;
    return this.fail(`attribute '${name}' must be ${length} sizes; got ${display(value)}`);
  }

  /** An attribute that must be a shape, of any rank. */
  anySizes(name: string): readonly number[] {
    const value = this.attr(name);
    if (areSizes(value)) return value;
    return this.fail(`attribute '${name}' must be a list of sizes; got ${display(value)}`);
  }

  /** An attribute that must be a list of attributes. */
  list(name: string): readonly object[] {
    const value = this.attr(name);
    const isRight =
      Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null);
    if (!isRight)
      this.fail(`attribute '${name}' must be an array of objects; got ${display(value)}`);
    return value as object[];
  }

  /**
   * The kernel's inputs with this number (`variable0`, …), under their names without the number, and `attrs`.
   *
   * @param shared Names of inputs that all numbers share, which have none.
   */
  numbered(number: number, attrs: object, shared: readonly string[] = []): KernelArguments {
    const {kernelName, backendName, inputs} = this;
    const numbered = new KernelArguments(kernelName, backendName, inputs, attrs, number, shared);
    numbered.asked = this.asked;
    return numbered;
  }

  attr(name: string): unknown {
    return (this.attrs as Record<string, unknown>)[name];
  }

  /** The input's dtype and shape, for a message. */
  text(name: string): string {
    return describe(this.info(name)!);
  }

  /** Fails for a given input with a message that says what it must be. */
  refuse(name: string, what: string): never {
    return this.fail(`input '${this.nameOf(name)}' ${what}; got ${this.text(name)}`);
  }

  fail(what: string): never {
    throw new Error(`${this.kernelName} on ${this.backendName}: ${what}`);
  }

  private number(name: string, isRight: (x: number) => boolean, range: string): number {
    const value = this.attr(name);
    if (typeof value === 'number' && isRight(value)) return value;
    return this.fail(`attribute '${name}' must be ${range}; got ${display(value)}`);
  }

  private info(name: string): tf.TensorInfo | undefined {
    const given = this.nameOf(name);
    this.asked.add(given);
    return (this.inputs as Record<string, tf.TensorInfo | undefined>)[given];
  }

  /** The name under which an input is given. */
  private nameOf(name: string): string {
    const {place, shared} = this;
    return place === null || shared.includes(name) ? name : numberedName(name, place);
  }
}

const FLOAT32: readonly tf.DataType[] = ['float32'];

function areSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isInteger(size) && size >= 0);
}

function matches(shape: readonly number[], pattern: Pattern): boolean {
  return (
    shape.length === pattern.length &&
    pattern.every((size, axis) => size === null || size === shape[axis])
  );
}

function describe({dtype, shape}: tf.TensorInfo): string {
  return `${dtype} [${shape.join(',')}]`;
}
