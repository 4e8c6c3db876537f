import {loadUpTo, offset, storeUpTo} from './vector';

/**
 * One step of Adam's moments and the change that they make (Kingma & Ba 2015, Alg. 1):
 * `first' = beta1 · first + (1 − beta1) · gradient`, `second' = beta2 · second + (1 − beta2) · gradient²`,
 * `change = factor · first' / (√second' + epsilon)`.
 *
 * @param first An address, 0 for moments that are 0; so is `second`.
 */
export function adam(
  gradient: usize,
  first: usize,
  second: usize,
  size: i32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  factor: f32,
  epsilon: f32,
  newFirst: usize,
  newSecond: usize,
  change: usize,
): void {
  const factors = f32x4.splat(factor);
  const epsilons = f32x4.splat(epsilon);
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    const at = offset(i);
    const g = loadUpTo(gradient + at, left);
    let m = f32x4.mul(g, f32x4.splat(rest1));
    let v = f32x4.mul(f32x4.mul(g, g), f32x4.splat(rest2));
    if (first) {
      m = f32x4.add(f32x4.mul(loadUpTo(first + at, left), f32x4.splat(beta1)), m);
      v = f32x4.add(f32x4.mul(loadUpTo(second + at, left), f32x4.splat(beta2)), v);
    }
    storeUpTo(newFirst + at, m, left);
    storeUpTo(newSecond + at, v, left);
    const denominator = f32x4.add(f32x4.sqrt(v), epsilons);
    storeUpTo(change + at, f32x4.div(f32x4.mul(m, factors), denominator), left);
  }
}
