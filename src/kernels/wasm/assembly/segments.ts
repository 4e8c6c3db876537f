import {offset} from './vector';

/**
 * Adds each row of `x` `[rows, width]` to the row of `sums` `[segments, width]` that its id names, after setting `sums` to 0: row
 * `id − first`. Rows whose id is another one's are left out.
 */
export function addSegments(
  x: usize,
  ids: usize,
  rows: i32,
  width: i32,
  sums: usize,
  first: i32,
  segments: i32,
): void {
  memory.fill(sums, 0, offset(segments) * <usize>width);
  for (let row = 0; row < rows; row++) {
    const id = load<i32>(ids + offset(row)) - first;
    if (id >= 0 && id < segments) addRow(sums + offset(width) * <usize>id, x, width);
    x += offset(width);
  }
}

function addRow(sum: usize, x: usize, width: i32): void {
  let i = 0;
  for (; i + 4 <= width; i += 4) {
    v128.store(sum, f32x4.add(v128.load(sum), v128.load(x)));
    sum += 16;
    x += 16;
  }
  for (; i < width; i++) {
    store<f32>(sum, load<f32>(sum) + load<f32>(x));
    sum += 4;
    x += 4;
  }
}
