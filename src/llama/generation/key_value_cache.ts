import * as tf from '@tensorflow/tfjs-core';
import type {RotaryTables} from '../rotary';

/** Rotated keys, and values, of a block, `[rows, heads, positions, headDim]`. */
export interface KeysAndValues {
  keys: tf.Tensor;
  values: tf.Tensor;
}

/**
 * The keys and values of the positions that a block has seen, for later positions, of one sequence or of several, each a row.
 * With a window these are the last `window − 1`, which the next position still sees; else all.
 *
 * Rows that have seen less than others have zeros before their first position: the next position comes right after the last one
 * in every row.
 *
 * The cache owns them until `dispose`. Where a kernel appends a position to each row, the last positions are in tensors of their own,
 * which are copied for each new one, and joined with the others when there are as many as makes the fewest numbers to copy.
 * Elsewhere all are copied to append new ones.
 */
export class KeyValueCache {
  private kept: KeysAndValues | null = null;
  /** Positions after those in `kept`; null for none. */
  private recent: KeysAndValues | null = null;
  private seen: number[] = [0];

  /** @param window How many keys a position sees at most; null: all earlier ones. */
  constructor(private readonly window: number | null) {}

  /** How many positions each row has seen. */
  get lengths(): readonly number[] {
    return this.seen;
  }

  /** Whether the next position cannot be appended without forgetting one, because of the window. */
  get isFull(): boolean {
    const count = positionsOf(this.kept) + positionsOf(this.recent);
    return this.visible(count + 1) === count;
  }

  /** Whether nothing is kept. */
  get isEmpty(): boolean {
    return this.kept === null;
  }

  /**
   * What a kernel reads to append a position to each row, under its names for them (`OwLoreDecodeBlock`); not if it {@link isEmpty}.
   * The tensors belong to the surrounding `tf.tidy`, or to the cache until its next call.
   */
  parts(): tf.NamedTensorMap {
    const kept = this.kept!;
    const [rows, heads, positions, headDim] = kept.keys.shape as [number, number, number, number];
    const recent = this.recent ?? mapBoth(kept, () => tf.zeros([rows, heads, 0, headDim]));
    // recent positions are those of all rows
    const padding = this.seen.map((length) =>
      Math.max(0, positions + positionsOf(this.recent) - length),
    );
    return {
      ...kept,
      ...{recentKeys: recent.keys, recentValues: recent.values},
      ...(padding.some((count) => count > 0) && {padding: tf.tensor1d(padding, 'int32')}),
    };
  }

  /** Takes over the recent positions that the kernel has made of those that it was given, one more in each row. */
  replaceRecent(recent: KeysAndValues): void {
    this.keepRecent(recent);
    this.seen = this.seen.map((length) => length + 1);
    // With n positions, r of them recent at most, a new one costs copies of r / 2 and n / r others: the least for r = √(2n).
    const count = positionsOf(recent);
    if (count ** 2 >= 2 * (positionsOf(this.kept) + count)) this.joinRecent();
  }

  /**
   * Appends the keys and values of as many new positions in each row; the caller's tensors stay the caller's.
   *
   * @returns these, together with the earlier ones that the new positions may see. They belong to the
   *   surrounding `tf.tidy`, or to the cache until its next call.
   */
  append(added: KeysAndValues): KeysAndValues {
    this.joinRecent();
    const before = this.kept;
    const all: KeysAndValues = {
      keys: before ? tf.concat([before.keys, added.keys], 2) : tf.clone(added.keys),
      values: before ? tf.concat([before.values, added.values], 2) : tf.clone(added.values),
    };
    const count = all.keys.shape[2]!;
    this.replace(count === this.visible(count) ? all : lastOf(all, this.visible(count)));
    this.seen = this.seen.map((length) => length + added.keys.shape[2]!);
    return all;
  }

  /** Moves the rows of another cache of the same block here, after those that are here; the other one is empty then. */
  join(other: KeyValueCache): void {
    this.joinRecent();
    other.joinRecent();
    const [a, b] = [this.kept, other.kept];
    if (a && b) {
      const count = Math.max(a.keys.shape[2]!, b.keys.shape[2]!);
      this.replace(
        mapBoth(a, (mine, name) =>
          tf.tidy(() => tf.concat([paddedTo(mine, count), paddedTo(b[name], count)], 0)),
        ),
      );
    }
    // else the window is of one position, and nothing is ever kept
    this.seen = [...this.seen, ...other.seen];
    other.dispose();
  }

  /** Keeps these rows, in this order, and no more positions than they need. */
  select(rows: readonly number[]): void {
    this.joinRecent();
    this.seen = rows.map((row) => this.seen[row]!);
    if (!this.kept) return;
    const count = Math.min(this.kept.keys.shape[2]!, Math.max(...this.seen));
    this.replace(
      mapBoth(this.kept, (x) =>
        tf.tidy(() => sliced(tf.gather(x, tf.tensor1d([...rows], 'int32')), x.shape[2]! - count)),
      ),
    );
  }

  /**
   * Forgets the positions from `length` on, of a cache with one row.
   *
   * @returns false if it cannot, and has not: with a window, keys that position `length` would see are gone.
   */
  truncate(length: number): boolean {
    const seen = this.seen[0]!;
    if (length === seen) return true;
    this.joinRecent();
    const first = seen - (this.kept?.keys.shape[2] ?? 0);
    if (first > 0) return false;
    this.replace(length === 0 ? null : mapBoth(this.kept!, (x) => sliced(x, 0, length)));
    this.seen = [length];
    return true;
  }

  /** Frees the keys and values; it has one row again, which has seen nothing. */
  dispose(): void {
    this.replace(null);
    this.keepRecent(null);
    this.seen = [0];
  }

  /** How many of the last `count` positions the next one may see, without its own. */
  private visible(count: number): number {
    return this.window === null ? count : Math.min(count, this.window - 1);
  }

  private replace(kept: KeysAndValues | null): void {
    const before = this.kept;
    this.kept = kept;
    keepInPlaceOf(before, kept);
  }

  private keepRecent(recent: KeysAndValues | null): void {
    const before = this.recent;
    this.recent = recent;
    keepInPlaceOf(before, recent);
  }

  /** Joins the recent positions with the others. */
  private joinRecent(): void {
    const {kept, recent} = this;
    if (!kept || !recent) return;
    this.replace(mapBoth(kept, (earlier, name) => tf.concat([earlier, recent[name]], 2)));
    this.keepRecent(null);
  }
}

function keepInPlaceOf(before: KeysAndValues | null, now: KeysAndValues | null): void {
  for (const tensor of now ? [now.keys, now.values] : []) tf.keep(tensor);
  if (before) tf.dispose([before.keys, before.values]);
}

/** How many positions there are in each row. */
function positionsOf(part: KeysAndValues | null): number {
  return part ? part.keys.shape[2]! : 0;
}

/** The last `count` positions; null for none. */
function lastOf(all: KeysAndValues, count: number): KeysAndValues | null {
  if (count === 0) return null;
  return mapBoth(all, (x) => sliced(x, x.shape[2]! - count));
}

function mapBoth(
  {keys, values}: KeysAndValues,
  change: (x: tf.Tensor, name: keyof KeysAndValues) => tf.Tensor,
): KeysAndValues {
  return {keys: change(keys, 'keys'), values: change(values, 'values')};
}

/** Positions `from` to before `to`; a tensor of its own. */
function sliced(x: tf.Tensor, from: number, to = x.shape[2]!): tf.Tensor {
  const [rows, heads, , headDim] = x.shape as [number, number, number, number];
  return tf.slice(x, [0, 0, from, 0], [rows, heads, to - from, headDim]);
}

/** With zeros before the first position. */
function paddedTo(x: tf.Tensor, count: number): tf.Tensor {
  const missing = count - x.shape[2]!;
  return missing === 0
    ? x
    : tf.pad(x, [
        [0, 0],
        [0, 0],
        [missing, 0],
        [0, 0],
      ]);
}

/** What a block reads beside its input to go on with the rows of a decoder: keyword arguments of its layer. */
export interface DecodeState {
  cache: KeyValueCache;
  /** For all blocks. */
  tables: RotaryTables;
}
