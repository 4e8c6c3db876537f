/**
 * Causal attention of the query heads that share one key head (Vaswani et al. 2017), in pieces of
 * the score matrix, only those below its diagonal. Each factor of a product is packed once.
 */
import {expRow} from './exp';
import {filledUp, PACK_SLACK, packLeft, packRight} from './pack';
import {rotateRows} from './rotary';
import {rowMax, scaleOf, scaleRow} from './softmax';
import {multiplyPanels, TILE_BYTES, TILE_COLUMNS} from './tile';
import {multiplyAdd, offset, sumOf} from './vector';

/** How many queries, or keys, a piece has; a multiple of both sides of a tile. */
const PIECE: i32 = ASC_FEATURE_RELAXED_SIMD ? 12 : 16;

/** How many queries' scores the gradient holds at a time; a multiple of `PIECE`. */
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

/** Bytes of a matrix `[length, width]`, in rows or in panels for either side of a product. */
function matrixBytes(length: i32, width: i32): usize {
  return offset(filledUp(length, PIECE)) * <usize>filledUp(width, TILE_COLUMNS);
}

/** Bytes of a piece that is packed as a left factor. */
function leftBytes(length: i32, width: i32): usize {
  return offset(PIECE) * <usize>max(length, width) + PACK_SLACK;
}

/** Bytes from one row of scores to the next, for `queries` that are worked on together. */
function scoresStep(length: i32, queries: i32, window: i32): usize {
  return offset(filledUp(min(length, queries + window + PIECE), TILE_COLUMNS));
}

/**
 * The first key that is worked on for queries from position `from` on. It is the first key of a piece, so
 * that the products of a piece's keys with any queries that see one of them begin at the same key.
 */
function firstKey(from: i32, window: i32): i32 {
  const first = max(from - window + 1, 0);
  return first - (first % PIECE);
}

/**
 * `y = softmax(q kᵀ / √width) v`, where each position sees itself and earlier ones. `q` and `y` have
 * `group` heads side by side, `k` and `v` one, each `[length, width]`. Queries and keys are rotated first,
 * by `cos` and `sin` `[length, width / 2]`.
 *
 * @param window How many keys a query sees at most: that of its own position and those just before; from
 *   1 to `length`, which means all.
 * @param qStep Bytes from one position to the next in `q` and `y`; `kStep` those in `k` and `v`.
 * @param workspace Memory of `attentionBytes` bytes.
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
  const rotated = scores + step * <usize>PIECE;
  const keys = rotated + matrix;
  const values = keys + matrix;
  rotateRows(k, kStep, cos, sin, length, width, false, 1, rotated, row);
  packRight(keys, rotated, row, true, length, width);
  packRight(values, v, kStep, false, width, length);
  const panel = offset(TILE_COLUMNS * length);
  for (let head = 0; head < group; head++) {
    rotateRows(q, qStep, cos, sin, length, width, false, scaleOf(width), rotated, row);
    for (let from = 0; from < length; from += PIECE) {
      const count = min(length - from, PIECE);
      const first = firstKey(from, window);
      const seen = from + count - first;
      const queries = rotated + row * <usize>from;
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
 * The gradients by `q`, `k` and `v`, in the same layout as these; the weights are computed again.
 *
 * @param window As for `attend`.
 * @param workspace Memory of `attentionGradientBytes` bytes.
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
  const rotated = dScores + step * <usize>QUERIES;
  const keys = rotated + matrix;
  const keyRows = keys + matrix;
  const values = keyRows + matrix;
  const dkSum = values + matrix;
  const dvSum = dkSum + matrix;
  const dqRows = dvSum + matrix;
  const queryPanels = dqRows + matrix;
  const dyPanels = queryPanels + matrix;
  rotateRows(k, kStep, cos, sin, length, width, false, 1, rotated, row);
  packRight(keys, rotated, row, true, length, width);
  packRight(keyRows, rotated, row, false, width, length);
  packRight(values, v, kStep, true, length, width);
  memory.fill(dkSum, 0, 2 * matrix);
  const panel = offset(TILE_COLUMNS * length);
  const keyPanel = offset(TILE_COLUMNS * width);
  for (let head = 0; head < group; head++) {
    rotateRows(q, qStep, cos, sin, length, width, false, scale, rotated, row);
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
        const queries = rotated + row * <usize>start;
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
      packRight(queryPanels, rotated + row * <usize>from, row, false, width, end - from);
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
    rotateRows(dqRows, row, cos, sin, length, width, true, scale, dq, qStep);
    q += row;
    dy += row;
    dq += row;
  }
  rotateRows(dkSum, row, cos, sin, length, width, true, 1, dk, kStep);
  for (let i = 0; i < length; i++) {
    memory.copy(dv + kStep * <usize>i, dvSum + row * <usize>i, row);
  }
}

/**
 * The softmax of the scores of `count` queries, from position `from` on, over the keys that they see, from
 * `first` on; 0 for the other keys of the same tiles.
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

/** The gradient of a query's scores from that of its weights: `w · (dw − Σ w · dw)`, in place of `dw`. */
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
 * Adds `weightsᵀ · x` to `sums`, which has a row for each key; `x` has the `queries` queries from position
 * `from` on, in panels. For each piece of keys, from `base` on, only the queries that see it are used.
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
    // the last query that sees one of these keys is the last to see the last of them
    const seeing = min(end, key + count - 1 + window) - from - skipped;
    const visibleWeights = weights + step * <usize>skipped + offset(key - base);
    packLeft(left, visibleWeights, step, true, count, seeing);
    const visible = x + PANEL_ROW * <usize>skipped;
    const sum = sums + row * <usize>key;
    multiplyPanels(count, width, seeing, left, visible, panel, PANEL_ROW, sum, row, true, edge);
  }
}
