import {loadUpTo, offset, storeUpTo} from './vector';

/**
 * Updates Adam's averages by one gradient and makes the step, in one pass (Kingma & Ba 2015, Alg. 1).
 * With `x = gradient · clip`, `newFirst` goes from `first` towards x, `newSecond` from `second` towards
 * x², and `y = decay · variable − rate · newFirst / (√newSecond + epsilon)`. The new averages may be
 * written over the old ones.
 *
 * @param rest1 `1 − beta1`, which cannot be computed here precisely enough; `rest2` likewise.
 * @param variable An address, 0 for none.
 */
export function adam(
  gradient: usize,
  first: usize,
  second: usize,
  variable: usize,
  size: i32,
  clip: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  rate: f32,
  epsilon: f32,
  decay: f32,
  newFirst: usize,
  newSecond: usize,
  y: usize,
): void {
  const clips = f32x4.splat(clip);
  const rates = f32x4.splat(-rate);
  const epsilons = f32x4.splat(epsilon);
  const decays = f32x4.splat(decay);
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    const at = offset(i);
    const x = f32x4.mul(loadUpTo(gradient + at, left), clips);
    const mean = average(loadUpTo(first + at, left), x, beta1, rest1);
    const square = average(loadUpTo(second + at, left), f32x4.mul(x, x), beta2, rest2);
    let value = f32x4.div(f32x4.mul(mean, rates), f32x4.add(f32x4.sqrt(square), epsilons));
    if (variable) value = f32x4.add(f32x4.mul(loadUpTo(variable + at, left), decays), value);
    storeUpTo(newFirst + at, mean, left);
    storeUpTo(newSecond + at, square, left);
    storeUpTo(y + at, value, left);
  }
}

/** `beta · a + rest · x` with beta + rest = 1, computed from the nearer of a and x, so that beta = 0 gives x itself. */
function average(a: v128, x: v128, beta: f32, rest: f32): v128 {
  const way = f32x4.sub(x, a);
  return beta > 0.5
    ? f32x4.add(a, f32x4.mul(way, f32x4.splat(rest)))
    : f32x4.sub(x, f32x4.mul(way, f32x4.splat(beta)));
}

/** `y = x · factor`. */
export function scale(x: usize, size: i32, factor: f32, y: usize): void {
  const factors = f32x4.splat(factor);
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    storeUpTo(y + offset(i), f32x4.mul(loadUpTo(x + offset(i), left), factors), left);
  }
}

/** `y = a + b`. */
export function add(a: usize, b: usize, size: i32, y: usize): void {
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    const at = offset(i);
    storeUpTo(y + at, f32x4.add(loadUpTo(a + at, left), loadUpTo(b + at, left)), left);
  }
}
