/** Bytes of `count` numbers. */
export function offset(count: i32): usize {
  return (<usize>count) << 2;
}

/** `a · b + c`, by one instruction where the module is compiled for relaxed SIMD. */
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}
