import {loadUpTo, maxOf, offset, storeUpTo} from './vector';

/** Largest of `width` numbers, ignoring NaN; −∞ if there are none. */
export function rowMax(x: usize, width: i32): f32 {
  let largest = f32x4.splat(-Infinity);
  let i = 0;
  for (; i + 4 <= width; i += 4) largest = f32x4.pmax(largest, v128.load(x + offset(i)));
  let result = maxOf(largest);
  for (; i < width; i++) {
    const value = load<f32>(x + offset(i));
    if (value > result) result = value;
  }
  return result;
}

/** Multiplies a row by a number, in place. */
export function scaleRow(x: usize, width: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let i = 0; i < width; i += 4) {
    const left = width - i;
    storeUpTo(x + offset(i), f32x4.mul(loadUpTo(x + offset(i), left), factors), left);
  }
}

/** `1 / √width`, the factor of the products of queries and keys. */
export function scaleOf(width: i32): f32 {
  return 1 / sqrt<f32>(<f32>width);
}
