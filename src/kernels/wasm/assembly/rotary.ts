import {loadUpTo, offset, storeUpTo} from './vector';

/**
 * Turns each row of `x` `[stack, length, 2 · half]` by the angles of its position, the first half of
 * the row against the second; backwards if `inverse`. `cos` and `sin` `[length, half]`.
 */
export function rotate(
  x: usize,
  cos: usize,
  sin: usize,
  stack: i32,
  length: i32,
  half: i32,
  inverse: bool,
  y: usize,
): void {
  const sign = f32x4.splat(inverse ? -1 : 1);
  for (let matrix = 0; matrix < stack; matrix++) {
    let table: usize = 0;
    for (let row = 0; row < length; row++) {
      for (let i = 0; i < half; i += 4) {
        const left = half - i;
        const at = table + offset(i);
        const c = loadUpTo(cos + at, left);
        const s = f32x4.mul(loadUpTo(sin + at, left), sign);
        const first = loadUpTo(x + offset(i), left);
        const second = loadUpTo(x + offset(half + i), left);
        const turned = f32x4.sub(f32x4.mul(first, c), f32x4.mul(second, s));
        storeUpTo(y + offset(i), turned, left);
        const other = f32x4.add(f32x4.mul(second, c), f32x4.mul(first, s));
        storeUpTo(y + offset(half + i), other, left);
      }
      table += offset(half);
      x += offset(2 * half);
      y += offset(2 * half);
    }
  }
}
