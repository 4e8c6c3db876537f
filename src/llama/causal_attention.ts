import * as tf from '@tensorflow/tfjs-core';
import {customOp} from './custom_op';

/**
 * Added to the score of a key that a query may not see; finite, because −∞ makes NaN gradients where all
 * keys are hidden.
 */
const HIDDEN = -1e9;

/** The fewest positions whose queries are worked on at a time. */
const FEWEST_ROWS = 64;

/**
 * As many scores of a head as in a square of this side are computed at a time, if that is more: two short
 * pieces take longer than one.
 */
const SIDE = 128;

export interface CausalAttentionOptions {
  /** How many keys a query sees at most: that of its own position and those just before; default null: all. */
  window?: number | null;
  /** Factor of the products of queries and keys; default 1/√d. */
  scale?: number;
  /** How many positions are worked on at a time; default 64, or more where they see few keys. */
  rows?: number;
  /**
   * For a single position in several sequences of different lengths: how many of the first keys of each sequence it may not see.
   * Consecutive `stack / padding.length` entries of the stack belong to a sequence. Default: it sees all.
   */
  padding?: readonly number[];
}

/**
 * Scaled dot-product attention of each position to itself and earlier ones: `softmax(scale · q kᵀ) v`
 * (Vaswani et al. 2017).
 *
 * Memory grows linearly with `seq`: the scores are computed for some positions at a time, and again for the
 * gradient, which keeps only `q`, `k` and `v` (as in FlashAttention, Dao et al. 2022, but with all keys of a
 * query at once). With a window (Beltagy et al. 2020, Longformer) these positions read only the keys that
 * one of them sees, so that the work grows linearly, too.
 *
 * @param q `[stack, group, seq, d]`: the `group` query heads that share a key head (grouped
 *   queries, Ainslie et al. 2023) form one axis, so that no key is copied.
 * @param k `[stack, keys, d]`. The last `seq` keys are at the positions of the queries; there are more keys
 *   than queries if earlier positions have no query.
 * @param v `[stack, keys, d]`.
 * @returns `[stack, group, seq, d]`.
 */
export function causalAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  {
    window = null,
    scale = q.shape.at(-1)! ** -0.5,
    rows = rowsAtATime(k.shape[1]!, window ?? Infinity),
    padding = [],
  }: CausalAttentionOptions = {},
): tf.Tensor {
  const size = {rows, scale, window: window ?? Infinity, padding};
  return customOp({
    inputs: [q, k, v],
    forward: () => attend(q, k, v, size),
    gradient: (dy, [q, k, v]) => attendGradients(dy, q!, k!, v!, size),
  });
}

/** How many positions are worked on at a time, where there are so many keys, of which each sees at most `window`. */
export function rowsAtATime(keys: number, window: number): number {
  const seen = Math.min(keys, window + SIDE);
  return Math.max(FEWEST_ROWS, Math.floor(SIDE ** 2 / seen));
}

function attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, size: PieceSize): tf.Tensor {
  const parts = piecesOf(q, k, size).map((piece) =>
    tf.tidy(() => {
      const weights = attentionWeights(scaledQueries(q, piece), keysOf(k, piece), piece);
      return ungroup(tf.matMul(weights, keysOf(v, piece)), piece);
    }),
  );
  return tf.concat(parts, 2);
}

/** Gradients by `q`, `k` and `v`. */
function attendGradients(
  dy: tf.Tensor,
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  size: PieceSize,
): tf.Tensor[] {
  const pieces = piecesOf(q, k, size);
  const dqParts: tf.Tensor[] = [];
  const [dkSums, dvSums] = [new KeySums(), new KeySums()];
  // from the last positions to the first
  for (let i = pieces.length - 1; i >= 0; i--) {
    const piece = pieces[i]!;
    const [dq, dk, dv] = tf.tidy<[tf.Tensor, tf.Tensor, tf.Tensor]>(() => {
      const queries = scaledQueries(q, piece);
      const [keys, values] = [keysOf(k, piece), keysOf(v, piece)];
      const dMixed = grouped(dy, piece);
      const weights = attentionWeights(queries, keys, piece);
      const dScores = scoreGradients(weights, dMixed, values);
      return [
        ungroup(tf.mul(tf.matMul(dScores, keys), size.scale), piece),
        tf.matMul(dScores, queries, true),
        tf.matMul(weights, dMixed, true),
      ];
    });
    dqParts.unshift(dq);
    const seenBefore = i > 0 ? pieces[i - 1]!.endKey - piece.firstKey : 0;
    dkSums.add(dk, seenBefore);
    dvSums.add(dv, seenBefore);
  }
  const unseen = pieces[0]!.firstKey;
  return [tf.concat(dqParts, 2), dkSums.joined(unseen), dvSums.joined(unseen)];
}

/** Adds up the gradient of each key over the pieces that see it, from the last piece to the first. */
class KeySums {
  /** Sums for the keys that the preceding piece sees as well, `[stack, keys, d]`. */
  private open?: tf.Tensor;
  private readonly done: tf.Tensor[] = [];

  /** Adds a piece's part and disposes of it; the preceding piece sees the first `seenBefore` of its keys. */
  add(part: tf.Tensor, seenBefore: number): void {
    const [done, open] = tf.tidy<tf.Tensor[]>(() => {
      const sum = this.open
        ? tf.add(part, padded(this.open, part.shape[1]! - this.open.shape[1]!))
        : part;
      if (seenBefore === 0) return [sum];
      return tf.split(sum, [seenBefore, sum.shape[1]! - seenBefore], 1).reverse();
    });
    this.open?.dispose();
    if (done !== part) part.dispose();
    this.open = open;
    this.done.unshift(done!);
  }

  /** The sums of all keys, in their order, after `unseen` keys that no piece has seen. */
  joined(unseen: number): tf.Tensor {
    return padded(tf.concat(this.done, 1), unseen);
  }
}

/** `[stack, keys, d]` with `count` keys of zeros before it. */
function padded(x: tf.Tensor, count: number): tf.Tensor {
  if (count === 0) return x;
  return tf.pad(x, [
    [0, 0],
    [count, 0],
    [0, 0],
  ]);
}

interface PieceSize {
  rows: number;
  scale: number;
  /** Infinity for none. */
  window: number;
  /** Of each sequence; empty for none. */
  padding: readonly number[];
}

/** Queries `from` to before `to`, which come in groups, and the keys that at least one of them sees. */
interface Piece {
  from: number;
  to: number;
  group: number;
  firstKey: number;
  endKey: number;
  window: number;
  scale: number;
  padding: readonly number[];
}

function piecesOf(q: tf.Tensor, k: tf.Tensor, size: PieceSize): Piece[] {
  const {rows, window, scale, padding} = size;
  const [, group, seq] = q.shape as [number, number, number];
  const earlier = k.shape[1]! - seq;
  return Array.from({length: Math.ceil(seq / rows)}, (_, i) => {
    const from = i * rows;
    const to = Math.min(from + rows, seq);
    const firstKey = Math.max(0, earlier + from - window + 1);
    return {from, to, group, firstKey, endKey: earlier + to, window, scale, padding};
  });
}

/** `[stack, group, seq, d]` to the piece's `[stack, group · rows, d]`. */
function grouped(x: tf.Tensor, {from, to, group}: Piece): tf.Tensor {
  const [stack, , seq, d] = x.shape as [number, number, number, number];
  const rows = to - from;
  const pieceRows = rows === seq ? x : tf.slice(x, [0, 0, from, 0], [stack, group, rows, d]);
  return tf.reshape(pieceRows, [stack, group * rows, d]);
}

/** `[stack, group · rows, d]` to `[stack, group, rows, d]`. */
function ungroup(x: tf.Tensor, {from, to, group}: Piece): tf.Tensor {
  return tf.reshape(x, [x.shape[0], group, to - from, -1]);
}

function scaledQueries(q: tf.Tensor, piece: Piece): tf.Tensor {
  return tf.mul(grouped(q, piece), piece.scale);
}

/** The keys (or values) of the piece, `[stack, keys, d]`. */
function keysOf(x: tf.Tensor, {firstKey, endKey}: Piece): tf.Tensor {
  const [stack, all, d] = x.shape as [number, number, number];
  const keys = endKey - firstKey;
  return keys === all ? x : tf.slice(x, [0, firstKey, 0], [stack, keys, d]);
}

/** Softmax of the visible scores, `[stack, group · rows, keys]`. */
function attentionWeights(queries: tf.Tensor, keys: tf.Tensor, piece: Piece): tf.Tensor {
  return tf.tidy(() => {
    const scores = tf.matMul(queries, keys, false, true);
    // a single position sees all keys of its piece that are not padding
    if (piece.to - piece.from === 1) {
      if (piece.padding.length === 0) return tf.softmax(scores);
      const perSequence = tf.reshape(scores, [piece.padding.length, -1, keys.shape[1]!]);
      return tf.reshape(tf.softmax(tf.add(perSequence, paddingMask(piece))), scores.shape);
    }
    const perHead = tf.reshape(scores, [-1, piece.to - piece.from, keys.shape[1]!]);
    return tf.reshape(tf.softmax(tf.add(perHead, causalMask(piece))), scores.shape);
  });
}

/** The gradient of the scores from that of `weights · values`: `w · dw − w · Σ(w · dw)`. */
function scoreGradients(weights: tf.Tensor, dMixed: tf.Tensor, values: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const weighted = tf.tidy(() => tf.mul(weights, tf.matMul(dMixed, values, false, true)));
    return tf.sub(weighted, tf.mul(weights, tf.sum(weighted, -1, true)));
  });
}

/** `[rows, keys]`: 0 where the query (row) sees the key (column), else `HIDDEN`. */
function causalMask({from, to, firstKey, endKey, window}: Piece): tf.Tensor {
  const positionOfFirst = endKey - (to - from);
  const queries = tf.expandDims(tf.range(positionOfFirst, endKey), 1);
  const keys = tf.expandDims(tf.range(firstKey, endKey), 0);
  const later = tf.mul(tf.cast(tf.greater(keys, queries), 'float32'), HIDDEN);
  if (endKey - firstKey <= window) return later;
  const tooEarly = tf.lessEqual(keys, tf.sub(queries, window));
  return tf.add(later, tf.mul(tf.cast(tooEarly, 'float32'), HIDDEN));
}

/** `[sequences, 1, keys]`: `HIDDEN` where the key is padding, else 0. */
function paddingMask({padding, firstKey, endKey}: Piece): tf.Tensor {
  const keys = endKey - firstKey;
  const values = new Float32Array(padding.length * keys);
  padding.forEach((count, i) => {
    values.fill(HIDDEN, i * keys, i * keys + Math.max(0, count - firstKey));
  });
  return tf.tensor3d(values, [padding.length, 1, keys]);
}
