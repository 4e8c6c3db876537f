import * as tf from '@tensorflow/tfjs-core';

/** Turned keys and values of a block, `[batch, heads, positions, headDim]`. */
export interface KeysAndValues {
  keys: tf.Tensor;
  values: tf.Tensor;
}

/**
 * The keys and values of the positions that a block has seen, for those that come after: with a
 * window the last `window − 1` of them, which the next position still sees, else all.
 *
 * They are its own until `dispose`, and are copied to take the new ones in: next to the weights, all
 * of which a token reads, they are little.
 */
export class KeyValueCache {
  private kept: KeysAndValues | null = null;
  private positions = 0;

  /** @param window How many keys a position sees at most; null: all earlier ones. */
  constructor(private readonly window: number | null) {}

  /** How many positions it has seen. */
  get length(): number {
    return this.positions;
  }

  /**
   * Takes in those of new positions; the caller's tensors stay the caller's.
   *
   * @returns with those before them that they may see. They belong to the surrounding `tf.tidy`, or
   *   to the cache until its next call.
   */
  append(added: KeysAndValues): KeysAndValues {
    const before = this.kept;
    const all: KeysAndValues = {
      keys: before ? tf.concat([before.keys, added.keys], 2) : tf.clone(added.keys),
      values: before ? tf.concat([before.values, added.values], 2) : tf.clone(added.values),
    };
    this.kept = this.lastOf(all);
    for (const tensor of this.kept ? [this.kept.keys, this.kept.values] : []) tf.keep(tensor);
    if (before) tf.dispose([before.keys, before.values]);
    this.positions += added.keys.shape[2]!;
    return all;
  }

  dispose(): void {
    if (this.kept) tf.dispose([this.kept.keys, this.kept.values]);
    this.kept = null;
  }

  /** What the next position may see, itself aside; null for nothing. */
  private lastOf({keys, values}: KeysAndValues): KeysAndValues | null {
    const [batch, heads, count, headDim] = keys.shape as [number, number, number, number];
    const seen = this.window === null ? count : Math.min(count, this.window - 1);
    if (seen === count) return {keys, values};
    if (seen === 0) return null;
    const last = (x: tf.Tensor): tf.Tensor =>
      tf.slice(x, [0, 0, count - seen, 0], [batch, heads, seen, headDim]);
    return {keys: last(keys), values: last(values)};
  }
}
