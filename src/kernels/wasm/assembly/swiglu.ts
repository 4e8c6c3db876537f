import {expRow} from './exp';
import {loadUpTo, multiplyAdd, offset, storeUpTo} from './vector';

/** Numbers that are worked on at a time: they stay in the L1 cache between the two loops. */
const CHUNK: i32 = 1024;

/** `y = gate · σ(gate) · up`, elementwise. */
export function swiglu(gate: usize, up: usize, size: i32, y: usize): void {
  const one = f32x4.splat(1);
  for (let from = 0; from < size; from += CHUNK) {
    const end = min(from + CHUNK, size);
    expRow(gate + offset(from), end - from, -1, 0, y + offset(from));
    for (let i = from; i < end; i += 4) {
      const left = end - i;
      const z = loadUpTo(gate + offset(i), left);
      const silu = f32x4.div(z, f32x4.add(one, loadUpTo(y + offset(i), left)));
      storeUpTo(y + offset(i), f32x4.mul(silu, loadUpTo(up + offset(i), left)), left);
    }
  }
}

/**
 * The gradients by `gate` and `up`, and the value again if `y` is not 0. The derivative of
 * `silu(z) = z · σ(z)` is `σ + silu · (1 − σ)`.
 */
export function swigluGradient(
  dy: usize,
  gate: usize,
  up: usize,
  size: i32,
  dGate: usize,
  dUp: usize,
  y: usize,
): void {
  const one = f32x4.splat(1);
  for (let from = 0; from < size; from += CHUNK) {
    const end = min(from + CHUNK, size);
    expRow(gate + offset(from), end - from, -1, 0, dGate + offset(from));
    for (let i = from; i < end; i += 4) {
      const left = end - i;
      const s = f32x4.div(one, f32x4.add(one, loadUpTo(dGate + offset(i), left)));
      const silu = f32x4.mul(loadUpTo(gate + offset(i), left), s);
      const slope = multiplyAdd(silu, f32x4.sub(one, s), s);
      const dyHere = loadUpTo(dy + offset(i), left);
      const upHere = loadUpTo(up + offset(i), left);
      const byGate = f32x4.mul(f32x4.mul(dyHere, upHere), slope);
      storeUpTo(dGate + offset(i), byGate, left);
      storeUpTo(dUp + offset(i), f32x4.mul(dyHere, silu), left);
      if (y != 0) storeUpTo(y + offset(i), f32x4.mul(silu, upHere), left);
    }
  }
}
