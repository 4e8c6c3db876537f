import {loadUpTo, offset, storeUpTo} from './vector';

/**
 * `factor` times the rows of `x` `[length, width]`, rotated by the angles of their positions, or back
 * if `inverse`; the first half of a row pairs with the second. `cos` and `sin` are
 * `[length, width / 2]`. Steps are the bytes from one row to the next.
 */
export function rotateRows(
  x: usize,
  xStep: usize,
  cos: usize,
  sin: usize,
  length: i32,
  width: i32,
  inverse: bool,
  factor: f32,
  y: usize,
  yStep: usize,
): void {
  const half = width >> 1;
  const factors = f32x4.splat(factor);
  const signed = f32x4.splat(inverse ? -factor : factor);
  for (let row = 0; row < length; row++) {
    for (let i = 0; i < half; i += 4) {
      const left = half - i;
      const c = f32x4.mul(loadUpTo(cos + offset(i), left), factors);
      const s = f32x4.mul(loadUpTo(sin + offset(i), left), signed);
      const first = loadUpTo(x + offset(i), left);
      const second = loadUpTo(x + offset(half + i), left);
      const rotated = f32x4.sub(f32x4.mul(first, c), f32x4.mul(second, s));
      storeUpTo(y + offset(i), rotated, left);
      const other = f32x4.add(f32x4.mul(second, c), f32x4.mul(first, s));
      storeUpTo(y + offset(half + i), other, left);
    }
    cos += offset(half);
    sin += offset(half);
    x += xStep;
    y += yStep;
  }
}
