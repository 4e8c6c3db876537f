import {offset, upperHalf} from './vector';

/**
 * Sums of `|weight| · norm`, each product rounded to float32, of the rows of `weight`
 * `[rows, columns]`, into `sums` `[rows]`.
 *
 * @param isWide Whether each number has its own norm; else each row has one.
 */
export function magnitudeSums(
  weight: usize,
  norm: usize,
  rows: i32,
  columns: i32,
  isWide: bool,
  sums: usize,
): void {
  for (let row = 0; row < rows; row++) {
    let pairs = f64x2.splat(0);
    let i = 0;
    for (; i + 4 <= columns; i += 4) {
      const product = magnitudes(weight, norm, i, isWide);
      pairs = f64x2.add(pairs, f64x2.promote_low_f32x4(product));
      pairs = f64x2.add(pairs, f64x2.promote_low_f32x4(upperHalf(product)));
    }
    let sum = f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
    for (; i < columns; i++) sum += <f64>magnitude(weight, norm, i, isWide);
    store<f32>(sums + offset(row), <f32>sum);
    weight += offset(columns);
    norm += isWide ? offset(columns) : 4;
  }
}

/** How many of the same products are above `threshold`; NaN is not. */
export function countAbove(
  weight: usize,
  norm: usize,
  rows: i32,
  columns: i32,
  isWide: bool,
  threshold: f64,
): i32 {
  const thresholds = f64x2.splat(threshold);
  let pairs = i64x2.splat(0);
  let count = 0;
  for (let row = 0; row < rows; row++) {
    let i = 0;
    for (; i + 4 <= columns; i += 4) {
      const product = magnitudes(weight, norm, i, isWide);
      const lower = f64x2.promote_low_f32x4(product);
      const upper = f64x2.promote_low_f32x4(upperHalf(product));
      // a comparison gives −1 where it holds
      pairs = i64x2.sub(pairs, f64x2.gt(lower, thresholds));
      pairs = i64x2.sub(pairs, f64x2.gt(upper, thresholds));
    }
    for (; i < columns; i++) {
      if (<f64>magnitude(weight, norm, i, isWide) > threshold) count++;
    }
    weight += offset(columns);
    norm += isWide ? offset(columns) : 4;
  }
  return count + <i32>(i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1));
}

function magnitudes(weight: usize, norm: usize, i: i32, isWide: bool): v128 {
  const norms = isWide ? v128.load(norm + offset(i)) : v128.load32_splat(norm);
  return f32x4.mul(f32x4.abs(v128.load(weight + offset(i))), norms);
}

function magnitude(weight: usize, norm: usize, i: i32, isWide: bool): f32 {
  return abs(load<f32>(weight + offset(i))) * load<f32>(isWide ? norm + offset(i) : norm);
}
