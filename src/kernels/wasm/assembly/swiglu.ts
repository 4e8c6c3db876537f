import {loadUpTo, multiplyAdd, offset, sigmoid, storeUpTo} from './vector';

/** `y = gate · σ(gate) · up`, elementwise. */
export function swiglu(gate: usize, up: usize, size: i32, y: usize): void {
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    const z = loadUpTo(gate + offset(i), left);
    const silu = f32x4.mul(z, sigmoid(z));
    storeUpTo(y + offset(i), f32x4.mul(silu, loadUpTo(up + offset(i), left)), left);
  }
}

/** The gradients by `gate` and `up`. The derivative of `silu(z) = z · σ(z)` is `σ + silu · (1 − σ)`. */
export function swigluGradient(
  dy: usize,
  gate: usize,
  up: usize,
  size: i32,
  dGate: usize,
  dUp: usize,
): void {
  const one = f32x4.splat(1);
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    const z = loadUpTo(gate + offset(i), left);
    const dyHere = loadUpTo(dy + offset(i), left);
    const s = sigmoid(z);
    const silu = f32x4.mul(z, s);
    const slope = multiplyAdd(silu, f32x4.sub(one, s), s);
    const byGate = f32x4.mul(f32x4.mul(dyHere, loadUpTo(up + offset(i), left)), slope);
    storeUpTo(dGate + offset(i), byGate, left);
    storeUpTo(dUp + offset(i), f32x4.mul(dyHere, silu), left);
  }
}
