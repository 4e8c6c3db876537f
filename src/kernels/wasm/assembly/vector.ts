/** Vectors of four float32, and functions for which WebAssembly has no instruction. */

/** Bytes of `count` numbers. */
export function offset(count: i32): usize {
  return (<usize>count) << 2;
}

/** `a · b + c`, by one instruction where the module is compiled for relaxed SIMD. */
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** Four numbers at `from`; if `count` is less than 4, only `count` of them and then zeros. */
export function loadUpTo(from: usize, count: i32): v128 {
  if (count >= 4) return v128.load(from);
  let x = v128.load32_zero(from);
  if (count > 1) x = v128.load_lane<f32>(from, x, 1, 4);
  if (count > 2) x = v128.load_lane<f32>(from, x, 2, 8);
  return x;
}

/** Stores the first `count` numbers; all four if `count` is 4 or more. */
export function storeUpTo(to: usize, x: v128, count: i32): void {
  if (count >= 4) {
    v128.store(to, x);
    return;
  }
  v128.store_lane<f32>(to, x, 0);
  if (count > 1) v128.store_lane<f32>(to, x, 1, 4);
  if (count > 2) v128.store_lane<f32>(to, x, 2, 8);
}

/** Sum of the four numbers. */
export function sumOf(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) +
    f32x4.extract_lane(x, 1) +
    (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

/** Largest of the four numbers; NaN if one is. */
export function maxOf(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

export function upperHalf(x: v128): v128 {
  return v128.shuffle<f64>(x, x, 1, 1);
}

/** Natural logarithm of a positive number, in double precision. */
export function log(x: f64): f64 {
  if (!(x < Infinity)) return x;
  // x = m · 2^e with m from √½ to √2; a sum of exponentials in float32 is a normal float64
  const bits = reinterpret<i64>(x);
  let e = <i32>(bits >> 52) - 1023;
  let m = reinterpret<f64>((bits & 0xfffffffffffff) | 0x3ff0000000000000);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    e++;
  }
  // ln m = 2 artanh((m − 1) / (m + 1))
  const s = (m - 1) / (m + 1);
  const square = s * s;
  let power = s;
  let sum = s;
  for (let i = 3; i < 24; i += 2) {
    power *= square;
    sum += power / <f64>i;
  }
  return 2 * sum + <f64>e * 0.6931471805599453;
}
