import {exp, loadUpTo, maxOf, offset, storeUpTo, sumOf} from './vector';

/** Largest of `width` numbers, −∞ if there are none; NaN if one is. */
export function rowMax(x: usize, width: i32): f32 {
  let largest = f32x4.splat(-Infinity);
  let i = 0;
  for (; i + 4 <= width; i += 4) largest = f32x4.max(largest, v128.load(x + offset(i)));
  let result = maxOf(largest);
  for (; i < width; i++) result = max(result, load<f32>(x + offset(i)));
  return result;
}

/** `y = e^(scale · x − shift)` of a row; returns its sum. `y` may be `x`. */
export function rowExp(x: usize, width: i32, scale: f32, shift: f32, y: usize): f32 {
  const factor = f32x4.splat(scale);
  const down = f32x4.splat(shift);
  let sum = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= width; i += 4) {
    const e = exp(f32x4.sub(f32x4.mul(v128.load(x + offset(i)), factor), down));
    v128.store(y + offset(i), e);
    sum = f32x4.add(sum, e);
  }
  let total = sumOf(sum);
  const left = width - i;
  if (left > 0) {
    const e = exp(f32x4.sub(f32x4.mul(loadUpTo(x + offset(i), left), factor), down));
    storeUpTo(y + offset(i), e, left);
    total += f32x4.extract_lane(e, 0);
    if (left > 1) total += f32x4.extract_lane(e, 1);
    if (left > 2) total += f32x4.extract_lane(e, 2);
  }
  return total;
}

/** Multiplies a row by a number, in place. */
export function scaleRow(x: usize, width: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let i = 0; i < width; i += 4) {
    const left = width - i;
    storeUpTo(x + offset(i), f32x4.mul(loadUpTo(x + offset(i), left), factors), left);
  }
}
