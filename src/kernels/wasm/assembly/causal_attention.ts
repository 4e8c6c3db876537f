import {expRow} from './exp';
import {multiply} from './gemm';
import {rowMax, scaleRow} from './softmax';
import {loadUpTo, multiplyAdd, offset, storeUpTo, sumOf} from './vector';

/**
 * `y = softmax(q kᵀ · scale) v`, each position with itself and the earlier ones, for `rows` positions
 * of the queries at a time.
 *
 * `q` and `y` `[stack, group, length, width]`, `k` and `v` `[stack, length, width]`.
 *
 * @param scores Memory for `rows · length` numbers.
 */
export function causalAttention(
  q: usize,
  k: usize,
  v: usize,
  stack: i32,
  group: i32,
  length: i32,
  width: i32,
  scale: f32,
  y: usize,
  rows: i32,
  scores: usize,
): void {
  const step = offset(width);
  const matrix = offset(width) * <usize>length;
  for (let head = 0; head < stack * group; head++) {
    for (let from = 0; from < length; from += rows) {
      const to = min(from + rows, length);
      const here = step * <usize>from;
      attentionWeights(q + here, k, from, to, width, scale, scores);
      const scoresStep = offset(to);
      multiply(
        to - from,
        width,
        to,
        scores,
        scoresStep,
        false,
        v,
        step,
        false,
        y + here,
        step,
        false,
      );
    }
    q += matrix;
    y += matrix;
    if ((head + 1) % group == 0) {
      k += matrix;
      v += matrix;
    }
  }
}

/**
 * The gradients by `q`, `k` and `v`; the weights are computed again.
 *
 * @param scores Memory for `2 · rows · length` numbers.
 */
export function causalAttentionGradient(
  dy: usize,
  q: usize,
  k: usize,
  v: usize,
  stack: i32,
  group: i32,
  length: i32,
  width: i32,
  scale: f32,
  dq: usize,
  dk: usize,
  dv: usize,
  rows: i32,
  scores: usize,
): void {
  const step = offset(width);
  const matrix = offset(width) * <usize>length;
  const dScores = scores + offset(length) * <usize>rows;
  memory.fill(dk, 0, matrix * <usize>stack);
  memory.fill(dv, 0, matrix * <usize>stack);
  for (let head = 0; head < stack * group; head++) {
    for (let from = 0; from < length; from += rows) {
      const to = min(from + rows, length);
      const count = to - from;
      const here = step * <usize>from;
      const scoresStep = offset(to);
      attentionWeights(q + here, k, from, to, width, scale, scores);
      multiply(to, width, count, scores, scoresStep, true, dy + here, step, false, dv, step, true);
      multiply(count, to, width, dy + here, step, false, v, step, true, dScores, scoresStep, false);
      for (let row = 0; row < count; row++) {
        const at = scoresStep * <usize>row;
        scoreGradient(scores + at, dScores + at, from + row + 1, to, scale);
      }
      multiply(
        count,
        width,
        to,
        dScores,
        scoresStep,
        false,
        k,
        step,
        false,
        dq + here,
        step,
        false,
      );
      multiply(to, width, count, dScores, scoresStep, true, q + here, step, false, dk, step, true);
    }
    q += matrix;
    dy += matrix;
    dq += matrix;
    if ((head + 1) % group == 0) {
      k += matrix;
      v += matrix;
      dk += matrix;
      dv += matrix;
    }
  }
}

/** The softmax of the scores of queries `from` to before `to` under keys 0 to before `to`. */
function attentionWeights(
  q: usize,
  k: usize,
  from: i32,
  to: i32,
  width: i32,
  scale: f32,
  weights: usize,
): void {
  const step = offset(width);
  multiply(to - from, to, width, q, step, false, k, step, true, weights, offset(to), false);
  for (let position = from; position < to; position++) {
    const visible = position + 1;
    const shift = rowMax(weights, visible) * scale;
    const sum = expRow(weights, visible, scale, shift, weights);
    scaleRow(weights, visible, 1 / sum);
    memory.fill(weights + offset(visible), 0, offset(to - visible));
    weights += offset(to);
  }
}

/**
 * From the gradient of the weights that of the scores: `scale · w · (dw − Σ w · dw)`, in the place of
 * `dw`.
 */
function scoreGradient(w: usize, dw: usize, visible: i32, width: i32, scale: f32): void {
  let along = f32x4.splat(0);
  for (let i = 0; i < visible; i += 4) {
    const left = visible - i;
    along = multiplyAdd(loadUpTo(w + offset(i), left), loadUpTo(dw + offset(i), left), along);
  }
  const sum = f32x4.splat(sumOf(along));
  const factor = f32x4.splat(scale);
  for (let i = 0; i < visible; i += 4) {
    const left = visible - i;
    const difference = f32x4.sub(loadUpTo(dw + offset(i), left), sum);
    const scaled = f32x4.mul(loadUpTo(w + offset(i), left), factor);
    storeUpTo(dw + offset(i), f32x4.mul(scaled, difference), left);
  }
  memory.fill(dw + offset(visible), 0, offset(width - visible));
}
