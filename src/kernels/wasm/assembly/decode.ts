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
 * `y = softmax(q kᵀ / √width) v` of one position in each of `rows` sequences, for `keyHeads` key heads and the `group` query heads that
 * share each of them. `q` and `y` are `[rows, keyHeads · group, width]`. `k` and `v` `[rows, keyHeads, width]` are the position's own;
 * the others are in two parts, `keys` and `values` `[rows, keyHeads, positions, width]`, and after them `recentKeys` and `recentValues`
 * `[rows, keyHeads, recent, width]`. Queries and the own keys are rotated by `cos` and `sin` `[width / 2]`, of which each row has its
 * own after `tableStep` bytes; the other keys are rotated already.
 *
 * @param padding `[rows]` int32: how many of the first `positions` a row does not see; 0 for none in all rows.
 * @param newKeys Gets the recent keys and the position's own, `[rows, keyHeads, recent + 1, width]`; `newValues` likewise.
 * @param workspace Memory of `attendLastBytes` bytes.
 */
export function attendLast(
  rows: i32,
  keyHeads: i32,
  group: i32,
  width: i32,
  q: usize,
  k: usize,
  v: usize,
  cos: usize,
  sin: usize,
  tableStep: usize,
  keys: usize,
  values: usize,
  positions: i32,
  padding: usize,
  recentKeys: usize,
  recentValues: usize,
  recent: i32,
  newKeys: usize,
  newValues: usize,
  y: usize,
  workspace: usize,
): void {
  const row = offset(width);
  const queryStep = row * <usize>group;
  const keyStep = row * <usize>positions;
  const recentBytes = row * <usize>recent;
  for (let i = 0; i < rows; i++) {
    // what is in memory may be any number
    const unseen = padding == 0 ? 0 : min(max(load<i32>(padding + offset(i)), 0), positions);
    const hidden = row * <usize>unseen;
    for (let head = 0; head < keyHeads; head++) {
      attendHead(
        q,
        k,
        v,
        cos,
        sin,
        group,
        width,
        keys + hidden,
        values + hidden,
        positions - unseen,
        recentKeys,
        recentValues,
        recent,
        newKeys,
        newValues,
        y,
        workspace,
      );
      q += queryStep;
      k += row;
      v += row;
      keys += keyStep;
      values += keyStep;
      recentKeys += recentBytes;
      recentValues += recentBytes;
      newKeys += recentBytes + row;
      newValues += recentBytes + row;
      y += queryStep;
    }
    cos += tableStep;
    sin += tableStep;
  }
}

/** The same of one sequence and one key head, whose first `seen` keys are those that the position sees. */
function attendHead(
  q: usize,
  k: usize,
  v: usize,
  cos: usize,
  sin: usize,
  group: i32,
  width: i32,
  keys: usize,
  values: usize,
  seen: i32,
  recentKeys: usize,
  recentValues: usize,
  recent: i32,
  newKeys: usize,
  newValues: usize,
  y: usize,
  workspace: usize,
): void {
  const row = offset(width);
  const recentBytes = row * <usize>recent;
  memory.copy(newKeys, recentKeys, recentBytes);
  rotateRows(k, 0, cos, sin, 1, width, false, 1, newKeys + recentBytes, 0);
  memory.copy(newValues, recentValues, recentBytes);
  memory.copy(newValues + recentBytes, v, row);
  const scores = workspace + row * <usize>group;
  for (let head = 0; head < group; head++) {
    const at = row * <usize>head;
    rotateRows(q + at, 0, cos, sin, 1, width, false, scaleOf(width), workspace + at, 0);
  }
  const near = recent + 1;
  const step = offset(seen + near);
  const nearScores = scores + offset(seen);
  multiplyRowsTransposed<f32>(group, seen, width, workspace, row, keys, row, scores, step, false);
  multiplyRowsTransposed<f32>(
    group,
    near,
    width,
    workspace,
    row,
    newKeys,
    row,
    nearScores,
    step,
    false,
  );
  for (let head = 0; head < group; head++) {
    const weights = scores + step * <usize>head;
    const sum = expRow(weights, seen + near, 1, rowMax(weights, seen + near), weights);
    scaleRow(weights, seen + near, 1 / sum);
  }
  multiplyRows<f32>(group, width, seen, scores, step, 4, values, row, y, row, false);
  multiplyRows<f32>(group, width, near, nearScores, step, 4, newValues, row, y, row, true);
}
