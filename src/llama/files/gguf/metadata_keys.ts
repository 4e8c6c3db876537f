import {display} from '../../../common/options';
import type {GgufHeader} from './header';
import type {MetadataValue} from './metadata';

/** The metadata of a GGUF file, asked by key. */
export class MetadataKeys {
  /** @param owner The beginning of messages: which function reads which file. */
  constructor(
    readonly owner: string,
    private readonly metadata: GgufHeader['metadata'],
  ) {}

  /** All keys. */
  get names(): Iterable<string> {
    return this.metadata.keys();
  }

  get(key: string): MetadataValue | undefined {
    return this.metadata.get(key);
  }

  text(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.wrong(key, 'a text');
  }

  flag(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.wrong(key, 'true or false');
  }

  /** An integer of at least `min`. */
  integer(key: string, min: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value;
    throw this.wrong(key, `an integer of at least ${min}`);
  }

  /** The same; it must be there. */
  count(key: string): number {
    const value = this.integer(key, 1);
    if (value === undefined) throw this.missing(key);
    return value;
  }

  /** A number above 0: a float32, as the shortest decimal that is this float32. */
  positive(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return shortest(value);
    throw this.wrong(key, 'a number above 0');
  }

  texts(key: string): string[] | undefined {
    return this.list(key, 'texts', (value) => typeof value === 'string') as string[] | undefined;
  }

  numbers(key: string): number[] | undefined {
    return this.list(key, 'numbers', (value) => typeof value === 'number') as number[] | undefined;
  }

  missing(key: string): Error {
    return new Error(`${this.owner}: the file lacks the key ${key}`);
  }

  wrong(key: string, what: string): Error {
    return new Error(`${this.owner}: ${key} must be ${what}; got ${this.show(key)}`);
  }

  /** The error for a key that asks for something that these models do not compute. */
  unsupported(key: string, what: string): Error {
    return new Error(
      `${this.owner}: ${key} ${this.show(key)} changes what the model computes and is not supported: ${what}`,
    );
  }

  private show(key: string): string {
    const value = this.get(key);
    return display(Array.isArray(value) ? value.slice(0, 20) : value).slice(0, 120);
  }

  private list(
    key: string,
    what: string,
    isOne: (value: unknown) => boolean,
  ): MetadataValue | undefined {
    const value = this.get(key);
    if (value === undefined || (Array.isArray(value) && (value as unknown[]).every(isOne)))
      return value;
    throw this.wrong(key, `a list of ${what}`);
  }
}

/** 1e-5 for the float32 that is 9.999999747378752e-6 as a double. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
