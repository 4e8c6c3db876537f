import {loadUpTo, multiplyAdd, offset, storeUpTo, sumOf} from './vector';

/** Bytes of the constants of `exp`. */
const CONSTANTS: usize = 13 * 16;

/** How many exponentials are kept at a time where only their sum is needed. */
const CHUNK: i32 = 1024;

/** Bytes of memory that the functions of this file need. */
export const EXP_SCRATCH: usize = CONSTANTS + CHUNK * 4;

/** 1.5 · 2²³: adding it rounds a float32 to a whole number, whose bits are then at the end. */
const ROUNDER: f32 = 12582912;

let address: usize = 0;

/**
 * Gives the functions of this file their memory, and writes the constants of `exp` there: in a loop V8
 * makes a constant vector anew in each iteration, by five instructions; it reads one from memory by one.
 */
export function placeExpScratch(to: usize): void {
  address = to;
  splat(to, 0, -104);
  splat(to, 1, 89);
  splat(to, 2, 1.44269504088896341);
  splat(to, 3, ROUNDER);
  // ln 2 in two parts; the product of the first with a whole number is exact
  splat(to, 4, 0.693359375);
  splat(to, 5, -2.1219444e-4);
  splat(to, 6, 1.98756915e-4);
  splat(to, 7, 1.3981999507e-3);
  splat(to, 8, 8.3334519073e-3);
  splat(to, 9, 4.1665795894e-2);
  splat(to, 10, 1.6666665459e-1);
  splat(to, 11, 5.0000001201e-1);
  splat(to, 12, 1);
}

function splat(to: usize, index: usize, value: f32): void {
  v128.store(to + 16 * index, f32x4.splat(value));
}

/**
 * `y = e^(scale · x − shift)` of a row; returns its sum. `y` may be `x`.
 *
 * This is the only loop that calls `exp`, so that `exp` is inlined in it.
 */
export function expRow(x: usize, width: i32, scale: f32, shift: f32, y: usize): f32 {
  const constants = address;
  const factor = f32x4.splat(scale);
  const down = f32x4.splat(shift);
  let sum = f32x4.splat(0);
  for (let i = 0; i < width; i += 4) {
    const left = width - i;
    const e = exp(f32x4.sub(f32x4.mul(loadUpTo(x + offset(i), left), factor), down), constants);
    storeUpTo(y + offset(i), e, left);
    sum = f32x4.add(sum, left < 4 ? firstOf(e, left) : e);
  }
  return sumOf(sum);
}

/** `Σ e^(x − shift)` of a row. */
export function sumOfExp(x: usize, width: i32, shift: f32): f32 {
  let sum: f32 = 0;
  for (let i = 0; i < width; i += CHUNK) {
    sum += expRow(x + offset(i), min(width - i, CHUNK), 1, shift, address + CONSTANTS);
  }
  return sum;
}

/** The first `count` numbers, then 0. */
function firstOf(x: v128, count: i32): v128 {
  return v128.and(x, i32x4.gt_s(i32x4.splat(count), i32x4(0, 1, 2, 3)));
}

/**
 * `e^x` to 2 units in the last place: `2^n · e^r` with n whole and |r| ≤ ln 2 / 2, where a polynomial
 * is enough (Cephes, Moshier 1992). It is 0 or infinity where e^x is outside the range of float32.
 */
function exp(x: v128, constants: usize): v128 {
  // one instruction each, and NaN stays: the first operand is kept if the comparison is false
  x = f32x4.pmin(f32x4.pmax(x, v128.load(constants)), v128.load(constants, 16));
  const rounder = v128.load(constants, 3 * 16);
  const rounded = f32x4.add(f32x4.mul(x, v128.load(constants, 2 * 16)), rounder);
  const n = f32x4.sub(rounded, rounder);
  let r = f32x4.sub(x, f32x4.mul(n, v128.load(constants, 4 * 16)));
  r = f32x4.sub(r, f32x4.mul(n, v128.load(constants, 5 * 16)));
  let p = v128.load(constants, 6 * 16);
  p = multiplyAdd(p, r, v128.load(constants, 7 * 16));
  p = multiplyAdd(p, r, v128.load(constants, 8 * 16));
  p = multiplyAdd(p, r, v128.load(constants, 9 * 16));
  p = multiplyAdd(p, r, v128.load(constants, 10 * 16));
  p = multiplyAdd(p, r, v128.load(constants, 11 * 16));
  const one = v128.load(constants, 12 * 16);
  p = f32x4.add(multiplyAdd(f32x4.mul(r, r), p, r), one);
  // 2^n as two factors, made by their exponents: for some n it is outside the range of float32
  const whole = i32x4.sub(rounded, rounder);
  const half = i32x4.shr_s(whole, 1);
  const first = i32x4.add(i32x4.shl(half, 23), one);
  const second = i32x4.add(i32x4.shl(i32x4.sub(whole, half), 23), one);
  return f32x4.mul(f32x4.mul(p, first), second);
}
