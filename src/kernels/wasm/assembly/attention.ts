/**
 * Causal attention of the query heads that share one key head (Vaswani et al. 2017), in pieces of
 * the score matrix that lie below its diagonal. Each factor of a product is packed once.
 */
import {expRow} from './exp';
import {filledUp, PACK_SLACK, packLeft, packRight} from './pack';
import {turnRows} from './rotary';
import {rowMax, scaleRow} from './softmax';
import {multiplyPanels, TILE_BYTES, TILE_COLUMNS} from './tile';
import {multiplyAdd, offset, sumOf} from './vector';

/** Queries, or keys, of a piece; a multiple of both sides of a tile. */
const PIECE: i32 = ASC_FEATURE_RELAXED_SIMD ? 12 : 16;

/** Queries whose scores the gradient has at a time; a multiple of `PIECE`. */
const QUERIES: i32 = PIECE * (ASC_FEATURE_RELAXED_SIMD ? 11 : 8);

/** Bytes from one row of a panel of a right factor to the next. */
const PANEL_ROW: usize = TILE_COLUMNS * 4;

/** Bytes of memory that `attend` needs. */
export function attentionBytes(length: i32, width: i32, window: i32): usize {
  const scores = scoresStep(length, PIECE, window) * <usize>PIECE;
  return TILE_BYTES + leftBytes(length, width) + scores + 3 * matrixBytes(length, width);
}

/** Bytes of memory that `attendGradient` needs. */
export function attentionGradientBytes(length: i32, width: i32, window: i32): usize {
  const scores = scoresStep(length, QUERIES, window) * <usize>QUERIES;
  return TILE_BYTES + leftBytes(length, width) + 2 * scores + 9 * matrixBytes(length, width);
}

/** Of a matrix `[length, width]`, in rows or in panels of either side. */
function matrixBytes(length: i32, width: i32): usize {
  return offset(filledUp(length, PIECE)) * <usize>filledUp(width, TILE_COLUMNS);
}

/** Of a piece that is packed as a left factor. */
function leftBytes(length: i32, width: i32): usize {
  return offset(PIECE) * <usize>max(length, width) + PACK_SLACK;
}

/** From one row of scores to the next, of `queries` that are worked on together. */
function scoresStep(length: i32, queries: i32, window: i32): usize {
  return offset(filledUp(min(length, queries + window + PIECE), TILE_COLUMNS));
}

/**
 * First key of those that are worked on for queries from position `from` on: that of a piece, so that
 * the products of its keys with any queries that see one of them begin at the same key.
 */
function firstKey(from: i32, window: i32): i32 {
  const first = max(from - window + 1, 0);
  return first - (first % PIECE);
}

/**
 * `y = softmax(q kᵀ / √width) v`, each position with itself and the earlier ones: `q` and `y` of
 * `group` heads side by side, `k` and `v` of one, each `[length, width]`. Queries and keys are turned
 * first, by `cos` and `sin` `[length, width / 2]`.
 *
 * @param window How many keys a query sees at most, its own position's and those just before; from 1 to
 *   `length`, which is for all.
 * @param qStep Bytes from one position to the next, of `q` and `y`; `kStep` of `k` and `v`.
 * @param workspace `attentionBytes`.
 */
export function attend(
  q: usize,
  k: usize,
  v: usize,
  cos: usize,
  sin: usize,
  group: i32,
  length: i32,
  width: i32,
  window: i32,
  qStep: usize,
  kStep: usize,
  y: usize,
  workspace: usize,
): void {
  const row = offset(width);
  const step = scoresStep(length, PIECE, window);
  const matrix = matrixBytes(length, width);
  const edge = workspace;
  const left = edge + TILE_BYTES;
  const scores = left + leftBytes(length, width);
  const turned = scores + step * <usize>PIECE;
  const keys = turned + matrix;
  const values = keys + matrix;
  turnRows(k, kStep, cos, sin, length, width, false, 1, turned, row);
  packRight(keys, turned, row, true, length, width);
  packRight(values, v, kStep, false, width, length);
  const panel = offset(TILE_COLUMNS * length);
  for (let head = 0; head < group; head++) {
    turnRows(q, qStep, cos, sin, length, width, false, scaleOf(width), turned, row);
    for (let from = 0; from < length; from += PIECE) {
      const count = min(length - from, PIECE);
      const first = firstKey(from, window);
      const seen = from + count - first;
      const queries = turned + row * <usize>from;
      weightsOf(queries, keys, first, from, count, width, window, scores, step, left, edge);
      packLeft(left, scores, step, false, count, seen);
      const seenValues = values + PANEL_ROW * <usize>first;
      const yPiece = y + qStep * <usize>from;
      multiplyPanels(
        count,
        width,
        seen,
        left,
        seenValues,
        panel,
        PANEL_ROW,
        yPiece,
        qStep,
        false,
        edge,
      );
    }
    q += row;
    y += row;
  }
}

/**
 * The gradients by `q`, `k` and `v`, which lie as these do; the weights are computed again.
 *
 * @param window As for `attend`.
 * @param workspace `attentionGradientBytes`.
 */
export function attendGradient(
  dy: usize,
  q: usize,
  k: usize,
  v: usize,
  cos: usize,
  sin: usize,
  group: i32,
  length: i32,
  width: i32,
  window: i32,
  qStep: usize,
  kStep: usize,
  dq: usize,
  dk: usize,
  dv: usize,
  workspace: usize,
): void {
  const row = offset(width);
  const step = scoresStep(length, QUERIES, window);
  const matrix = matrixBytes(length, width);
  const scale = scaleOf(width);
  const edge = workspace;
  const left = edge + TILE_BYTES;
  const scores = left + leftBytes(length, width);
  const dScores = scores + step * <usize>QUERIES;
  const turned = dScores + step * <usize>QUERIES;
  const keys = turned + matrix;
  const keyRows = keys + matrix;
  const values = keyRows + matrix;
  const dkSum = values + matrix;
  const dvSum = dkSum + matrix;
  const dqRows = dvSum + matrix;
  const queryPanels = dqRows + matrix;
  const dyPanels = queryPanels + matrix;
  turnRows(k, kStep, cos, sin, length, width, false, 1, turned, row);
  packRight(keys, turned, row, true, length, width);
  packRight(keyRows, turned, row, false, width, length);
  packRight(values, v, kStep, true, length, width);
  memory.fill(dkSum, 0, 2 * matrix);
  const panel = offset(TILE_COLUMNS * length);
  const keyPanel = offset(TILE_COLUMNS * width);
  for (let head = 0; head < group; head++) {
    turnRows(q, qStep, cos, sin, length, width, false, scale, turned, row);
    for (let from = 0; from < length; from += QUERIES) {
      const end = min(from + QUERIES, length);
      // the scores of all these queries begin at the same key
      const base = firstKey(from, window);
      for (let start = from; start < end; start += PIECE) {
        const count = min(end - start, PIECE);
        const first = firstKey(start, window);
        const seen = start + count - first;
        const at = step * <usize>(start - from) + offset(first - base);
        const w = scores + at;
        const dw = dScores + at;
        const queries = turned + row * <usize>start;
        weightsOf(queries, keys, first, start, count, width, window, w, step, left, edge);
        packLeft(left, dy + qStep * <usize>start, qStep, false, count, width);
        const columns = filledUp(seen, TILE_COLUMNS);
        multiplyPanels(
          count,
          columns,
          width,
          left,
          values + row * <usize>first,
          keyPanel,
          PANEL_ROW,
          dw,
          step,
          false,
          edge,
        );
        for (let i = 0; i < count; i++) {
          scoreGradient(w + step * <usize>i, dw + step * <usize>i, columns);
        }
        packLeft(left, dw, step, false, count, seen);
        multiplyPanels(
          count,
          width,
          seen,
          left,
          keyRows + PANEL_ROW * <usize>first,
          panel,
          PANEL_ROW,
          dqRows + row * <usize>start,
          row,
          false,
          edge,
        );
      }
      packRight(queryPanels, turned + row * <usize>from, row, false, width, end - from);
      packRight(dyPanels, dy + qStep * <usize>from, qStep, false, width, end - from);
      const queries = end - from;
      sumOverQueries(scores, dyPanels, base, from, queries, width, window, dvSum, step, left, edge);
      sumOverQueries(
        dScores,
        queryPanels,
        base,
        from,
        queries,
        width,
        window,
        dkSum,
        step,
        left,
        edge,
      );
    }
    turnRows(dqRows, row, cos, sin, length, width, true, scale, dq, qStep);
    q += row;
    dy += row;
    dq += row;
  }
  turnRows(dkSum, row, cos, sin, length, width, true, 1, dk, kStep);
  for (let i = 0; i < length; i++) {
    memory.copy(dv + kStep * <usize>i, dvSum + row * <usize>i, row);
  }
}

/**
 * The softmax of the scores of `count` queries from position `from` on under the keys from `first` on
 * that they see, 0 under others of the same tiles.
 */
function weightsOf(
  queries: usize,
  keys: usize,
  first: i32,
  from: i32,
  count: i32,
  width: i32,
  window: i32,
  weights: usize,
  step: usize,
  left: usize,
  edge: usize,
): void {
  const columns = filledUp(from + count - first, TILE_COLUMNS);
  const panel = offset(TILE_COLUMNS * width);
  keys += offset(width) * <usize>first;
  packLeft(left, queries, offset(width), false, count, width);
  multiplyPanels(count, columns, width, left, keys, panel, PANEL_ROW, weights, step, false, edge);
  for (let query = from; query < from + count; query++) {
    const hidden = max(query - window + 1, 0) - first;
    const end = query + 1 - first;
    for (let i = 0; i < hidden; i++) store<f32>(weights + offset(i), 0);
    const seen = weights + offset(hidden);
    const sum = expRow(seen, end - hidden, 1, rowMax(seen, end - hidden), seen);
    scaleRow(seen, end - hidden, 1 / sum);
    for (let i = end; i < columns; i++) store<f32>(weights + offset(i), 0);
    weights += step;
  }
}

/** From the gradient of a query's weights that of its scores: `w · (dw − Σ w · dw)`, in its place. */
function scoreGradient(w: usize, dw: usize, seen: i32): void {
  let along = f32x4.splat(0);
  const end = w + offset(seen);
  const back = dw - w;
  for (let at = w; at < end; at += 16) {
    along = multiplyAdd(v128.load(at), v128.load(at + back), along);
  }
  const sum = f32x4.splat(sumOf(along));
  for (let at = w; at < end; at += 16) {
    const difference = f32x4.sub(v128.load(at + back), sum);
    v128.store(at + back, f32x4.mul(v128.load(at), difference));
  }
}

/**
 * Adds to the rows `sums` of the keys `weightsᵀ · x`, for `x` in panels of the same `queries` queries
 * from position `from` on; for each piece of keys, from `base` on, of those that see it.
 */
function sumOverQueries(
  weights: usize,
  x: usize,
  base: i32,
  from: i32,
  queries: i32,
  width: i32,
  window: i32,
  sums: usize,
  step: usize,
  left: usize,
  edge: usize,
): void {
  const panel = offset(TILE_COLUMNS * queries);
  const row = offset(width);
  const end = from + queries;
  for (let key = base; key < end; key += PIECE) {
    const count = min(end - key, PIECE);
    const skipped = max(key - from, 0);
    // the last of these keys is the last that a query sees
    const seeing = min(end, key + count - 1 + window) - from - skipped;
    const ofKeys = weights + step * <usize>skipped + offset(key - base);
    packLeft(left, ofKeys, step, true, count, seeing);
    const visible = x + PANEL_ROW * <usize>skipped;
    const sum = sums + row * <usize>key;
    multiplyPanels(count, width, seeing, left, visible, panel, PANEL_ROW, sum, row, true, edge);
  }
}

/** `1 / √width`. */
function scaleOf(width: i32): f32 {
  return 1 / sqrt<f32>(<f32>width);
}
