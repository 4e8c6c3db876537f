import {loadUpTo, offset, storeUpTo} from './vector';

/**
 * Adds `bias` `[columns]`, if there is one, to each row of `x` `[rows, columns]`, and clamps the sums
 * to the range from `lower` to `upper`, in place.
 *
 * @param bias An address, 0 for none.
 */
export function addBias(
  x: usize,
  rows: i32,
  columns: i32,
  bias: usize,
  lower: f32,
  upper: f32,
): void {
  const low = f32x4.splat(lower);
  const high = f32x4.splat(upper);
  for (let row = 0; row < rows; row++) {
    let i = 0;
    for (; i + 4 <= columns; i += 4) {
      let y = v128.load(x + offset(i));
      if (bias) y = f32x4.add(y, v128.load(bias + offset(i)));
      v128.store(x + offset(i), f32x4.min(f32x4.max(y, low), high));
    }
    for (; i < columns; i++) {
      let y = load<f32>(x + offset(i));
      if (bias) y += load<f32>(bias + offset(i));
      store<f32>(x + offset(i), min(max(y, lower), upper));
    }
    x += offset(columns);
  }
}

/** The sums of some columns of `x` `[rows, columns]`, whose rows are `step` bytes apart: the gradient of a bias. */
export function sumRows(x: usize, rows: i32, columns: i32, step: usize, sums: usize): void {
  memory.fill(sums, 0, offset(columns));
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < columns; i += 4) {
      const left = columns - i;
      const at = offset(i);
      storeUpTo(sums + at, f32x4.add(loadUpTo(sums + at, left), loadUpTo(x + at, left)), left);
    }
    x += step;
  }
}
