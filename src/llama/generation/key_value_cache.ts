import * as tf from '@tensorflow/tfjs-core';

/** Rotated keys, and values, of a block, `[batch, heads, positions, headDim]`. */
export interface KeysAndValues {
  keys: tf.Tensor;
  values: tf.Tensor;
}

/**
 * The keys and values of the positions that a block has seen, for later positions. With a window these are
 * the last `window − 1`, which the next position still sees; else all.
 *
 * The cache owns them until `dispose`. It copies them to append new ones; that is little work compared with
 * the weights, all of which are read for a token.
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
   * Appends the keys and values of new positions; the caller's tensors stay the caller's.
   *
   * @returns these, together with the earlier ones that the new positions may see. They belong to the
   *   surrounding `tf.tidy`, or to the cache until its next call.
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

  /** The keys and values that the next position may see, without its own; null if there are none. */
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
