import * as tf from '@tensorflow/tfjs-core';
import {customOp} from './custom_op';

/**
 * Added to the score of a key that a query may not see; finite, since −∞ makes NaN gradients where
 * all are hidden.
 */
const HIDDEN = -1e9;

/** Positions whose queries are worked on at a time, at least. */
const FEWEST_ROWS = 64;

/** Scores of a head that are made at a time, if that is more: two short pieces take longer than one. */
const SCORES = 128 ** 2;

/**
 * Scaled dot-product attention of each position to itself and all earlier ones: `softmax(q kᵀ / √d)
 * v` (Vaswani et al. 2017).
 *
 * Memory grows linearly with `seq`: the scores are made for some positions at a time, and once more
 * for the gradient, which keeps `q`, `k` and `v` alone (as in FlashAttention, Dao et al. 2022, but
 * with all keys of a query at once).
 *
 * @param q `[stack, group, seq, d]`: the `group` query heads that share a key head (grouped
 *   queries, Ainslie et al. 2023) stand below each other, so that no key is copied.
 * @param k `[stack, seq, d]`.
 * @param v `[stack, seq, d]`.
 * @param rows How many positions are worked on at a time; by default 64, or more in short sequences.
 * @returns `[stack, group, seq, d]`.
 */
export function causalAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  rows = Math.max(FEWEST_ROWS, Math.floor(SCORES / k.shape[1]!)),
): tf.Tensor {
  return customOp({
    inputs: [q, k, v],
    forward: () => attend(q, k, v, rows),
    gradient: (dy, [q, k, v]) => attendGradients(dy, q!, k!, v!, rows),
  });
}

function attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, rows: number): tf.Tensor {
  const parts = ranges(q, rows).map((range) =>
    tf.tidy(() => {
      const weights = attentionWeights(scaledQueries(q, range), keysOf(k, range), range);
      return ungroup(tf.matMul(weights, keysOf(v, range)), range);
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
  rows: number,
): tf.Tensor[] {
  const dqParts: tf.Tensor[] = [];
  let sums: tf.Tensor[] = [];
  // from the last positions, which see all keys, to the first
  for (const range of ranges(q, rows).reverse()) {
    const before = sums;
    const [dqPart, ...dkv] = tf.tidy(() => {
      const queries = scaledQueries(q, range);
      const [keys, values] = [keysOf(k, range), keysOf(v, range)];
      const dMixed = grouped(dy, range);
      const weights = attentionWeights(queries, keys, range);
      const dScores = scoreGradients(weights, dMixed, values);
      const dq = tf.mul(tf.matMul(dScores, keys), scaleOf(q));
      const dkv = [tf.matMul(dScores, queries, true), tf.matMul(weights, dMixed, true)];
      return [ungroup(dq, range), ...dkv.map((part, i) => addToFirst(before[i], part))];
    });
    tf.dispose(before);
    sums = dkv;
    dqParts.unshift(dqPart);
  }
  return [tf.concat(dqParts, 2), ...sums];
}

/** Positions `from` to before `to` of queries that come in groups; they see the keys before `to`. */
interface Range {
  from: number;
  to: number;
  group: number;
}

function ranges(q: tf.Tensor, rows: number): Range[] {
  const [, group, seq] = q.shape as [number, number, number];
  return Array.from({length: Math.ceil(seq / rows)}, (_, i) => ({
    from: i * rows,
    to: Math.min((i + 1) * rows, seq),
    group,
  }));
}

/** `[stack, group, seq, d]` to the range's `[stack, group · rows, d]`. */
function grouped(x: tf.Tensor, {from, to, group}: Range): tf.Tensor {
  const [stack, , seq, d] = x.shape as [number, number, number, number];
  const rows = to - from;
  const ofRange = rows === seq ? x : tf.slice(x, [0, 0, from, 0], [stack, group, rows, d]);
  return tf.reshape(ofRange, [stack, group * rows, d]);
}

/** `[stack, group · rows, d]` to `[stack, group, rows, d]`. */
function ungroup(x: tf.Tensor, {from, to, group}: Range): tf.Tensor {
  return tf.reshape(x, [x.shape[0], group, to - from, -1]);
}

function scaleOf(q: tf.Tensor): number {
  return q.shape.at(-1)! ** -0.5;
}

function scaledQueries(q: tf.Tensor, range: Range): tf.Tensor {
  return tf.mul(grouped(q, range), scaleOf(q));
}

/** The keys (or values) that the range's queries see, `[stack, keys, d]`. */
function keysOf(x: tf.Tensor, {to}: Range): tf.Tensor {
  const [stack, seq, d] = x.shape as [number, number, number];
  return to === seq ? x : tf.slice(x, [0, 0, 0], [stack, to, d]);
}

/** `sum` `[stack, seq, d]`, if there is one yet, plus `part` at the first keys. */
function addToFirst(sum: tf.Tensor | undefined, part: tf.Tensor): tf.Tensor {
  if (!sum) return part;
  return tf.add(
    sum,
    tf.pad(part, [
      [0, 0],
      [0, sum.shape[1]! - part.shape[1]!],
      [0, 0],
    ]),
  );
}

/** Softmax of the visible scores, `[stack, group · rows, keys]`. */
function attentionWeights(queries: tf.Tensor, keys: tf.Tensor, range: Range): tf.Tensor {
  return tf.tidy(() => {
    const {from, to} = range;
    const scores = tf.matMul(queries, keys, false, true);
    const perHead = tf.reshape(scores, [-1, to - from, to]);
    return tf.reshape(tf.softmax(tf.add(perHead, causalMask(range))), scores.shape);
  });
}

/** From the gradient of `weights · values` that of the scores: `w · dw − w · Σ(w · dw)`. */
function scoreGradients(weights: tf.Tensor, dMixed: tf.Tensor, values: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const weighted = tf.tidy(() => tf.mul(weights, tf.matMul(dMixed, values, false, true)));
    return tf.sub(weighted, tf.mul(weights, tf.sum(weighted, -1, true)));
  });
}

/** `[rows, keys]`: 0 where the key (column) is not after the query (row), else `HIDDEN`. */
function causalMask({from, to}: Range): tf.Tensor {
  const later = tf.greater(tf.expandDims(tf.range(0, to), 0), tf.expandDims(tf.range(from, to), 1));
  return tf.mul(tf.cast(later, 'float32'), HIDDEN);
}
