/** One more position of a sequence, which sees the keys and values of those before it. */
import {expRow} from './exp';
import {rotateRows} from './rotary';
import {multiplyRows} from './row';
import {multiplyRowsTransposed} from './row_transposed';
import {rowMax, scaleOf, scaleRow} from './softmax';
import {offset} from './vector';

/** Bytes of memory that `attendLast` needs; `keys` are those that a position sees with its own. */
export function attendLastBytes(group: i32, width: i32, keys: i32): usize {
  return offset(group) * <usize>(width + keys);
}

/**
 * `y = softmax(q kᵀ / √width) v` of one position, for the `group` query heads `q` that share a key head. `q` and `y` are
 * `[group, width]`. `k` and `v` `[width]` are the position's own; the others are in two parts, `keys` and `values` `[positions,
 * width]`, without the first `padding` positions, and after them `recentKeys` and `recentValues` `[recent, width]`. Queries and the
 * own key are rotated by `cos` and `sin` `[width / 2]`; the other keys are rotated already.
 *
 * @param newKeys Gets the recent keys and the position's own, `[recent + 1, width]`; `newValues` likewise.
 * @param workspace Memory of `attendLastBytes` bytes.
 */
export function attendLast(
  q: usize,
  k: usize,
  v: usize,
  cos: usize,
  sin: usize,
  group: i32,
  width: i32,
  keys: usize,
  values: usize,
  positions: i32,
  padding: i32,
  recentKeys: usize,
  recentValues: usize,
  recent: i32,
  newKeys: usize,
  newValues: usize,
  y: usize,
  workspace: usize,
): void {
  const row = offset(width);
  const ofRecent = row * <usize>recent;
  memory.copy(newKeys, recentKeys, ofRecent);
  rotateRows(k, 0, cos, sin, 1, width, false, 1, newKeys + ofRecent, 0);
  memory.copy(newValues, recentValues, ofRecent);
  memory.copy(newValues + ofRecent, v, row);
  const scores = workspace + row * <usize>group;
  for (let head = 0; head < group; head++) {
    const at = row * <usize>head;
    rotateRows(q + at, 0, cos, sin, 1, width, false, scaleOf(width), workspace + at, 0);
  }
  // what is in memory may be any number
  const unseen = min(max(padding, 0), positions);
  const seen = positions - unseen;
  const near = recent + 1;
  const step = offset(seen + near);
  const ofNear = scores + offset(seen);
  keys += row * <usize>unseen;
  values += row * <usize>unseen;
  multiplyRowsTransposed<f32>(group, seen, width, workspace, row, keys, row, scores, step, false);
  multiplyRowsTransposed<f32>(
    group,
    near,
    width,
    workspace,
    row,
    newKeys,
    row,
    ofNear,
    step,
    false,
  );
  for (let head = 0; head < group; head++) {
    const weights = scores + step * <usize>head;
    const sum = expRow(weights, seen + near, 1, rowMax(weights, seen + near), weights);
    scaleRow(weights, seen + near, 1 / sum);
  }
  multiplyRows<f32>(group, width, seen, scores, step, 4, values, row, y, row, false);
  multiplyRows<f32>(group, width, near, ofNear, step, 4, newValues, row, y, row, true);
}

/** Copies `size` numbers. */
export function copy(from: usize, size: i32, to: usize): void {
  memory.copy(to, from, offset(size));
}
