import {checkFlag, checkNumber, type NumberRange} from '../../common/options';
import type {LayerType} from '../architectures/model_options';
import {show, type JsonObject} from '../../files/json';

/** The keys of a `config.json`. */
export class ConfigKeys {
  /**
   * @param owner The beginning of messages: which function reads which file.
   * @param defaults The values that transformers uses for missing keys.
   */
  constructor(
    readonly owner: string,
    private readonly json: JsonObject,
    private readonly defaults: JsonObject,
  ) {}

  /** The value as written, which may be null; undefined if the key is missing. */
  given(key: string): unknown {
    return this.json[key];
  }

  /** The same, or the default where the key is missing. */
  get(key: string): unknown {
    const value = this.json[key];
    return value === undefined ? this.defaults[key] : value;
  }

  /** The same, or the default where the key is missing or its value is null. */
  getNonNull(key: string): unknown {
    return this.json[key] ?? this.defaults[key];
  }

  /** An integer of at least 1. */
  count(key: string, value: unknown = this.get(key)): number {
    checkNumber(this.owner, key, value, {integer: true, min: 1});
    return value;
  }

  number(key: string, range: NumberRange): number {
    const value = this.get(key);
    checkNumber(this.owner, key, value, range);
    return value;
  }

  flag(key: string): boolean {
    const value = this.get(key);
    checkFlag(this.owner, key, value);
    return value;
  }

  /** Throws unless a key is missing or null, or has one of some values. */
  checkNeutral(key: string, values: readonly unknown[]): void {
    const value = this.json[key];
    if (value === undefined || value === null || values.includes(value)) return;
    throw this.unsupported(key, value, `it must be ${values.map(show).join(' or ') || 'absent'}`);
  }

  /** @returns the error for a key that asks for something that these models do not compute. */
  unsupported(key: string, value: unknown, what: string): Error {
    return new Error(
      `${this.owner}: ${key} ${show(value)} changes what the model computes and is not supported: ${what}`,
    );
  }

  /** The number of tokens of `sliding_window`; null for none. */
  slidingWindow(): number | null {
    return this.get('sliding_window') === null ? null : this.count('sliding_window');
  }

  /** `layer_types`; undefined if it is missing or null. */
  layerTypes(layers: number): LayerType[] | undefined {
    const types = this.json['layer_types'];
    if (types === undefined || types === null) return undefined;
    if (!Array.isArray(types) || types.length !== layers) {
      throw new Error(
        `${this.owner}: layer_types must have an entry for each of ${layers} layers; got ${show(types)}`,
      );
    }
    if (types.every((type) => type === 'full_attention' || type === 'sliding_attention')) {
      return types as LayerType[];
    }
    throw this.unsupported(
      'layer_types',
      types,
      'each must be "full_attention" or "sliding_attention"',
    );
  }

  /** The type of each layer by a rule, for files without `layer_types`. */
  layerTypesBy(layers: number, isSliding: (layer: number) => boolean): LayerType[] {
    return Array.from({length: layers}, (_, i) =>
      isSliding(i) ? 'sliding_attention' : 'full_attention',
    );
  }

  /** Throws if `layer_types` is given and not the same for all layers: with the window, or if `window` is null without one. */
  checkUniform(layers: number, window: number | null): void {
    const wanted = window === null ? 'full_attention' : 'sliding_attention';
    const types = this.layerTypes(layers);
    if (types?.every((type) => type === wanted) ?? true) return;
    throw this.unsupported(
      'layer_types',
      types,
      `with sliding_window ${window} all must be "${wanted}"`,
    );
  }
}
