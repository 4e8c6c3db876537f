import {offset, upperHalf} from './vector';

/** How many numbers have a sum of their own. */
export const SQUARES: i32 = 16384;

/**
 * Sums of squares in float64, one of every `SQUARES` of the `size` numbers `x`: of `count` of these pieces, from the piece `first` on, into
 * `sums`.
 */
export function sumsOfSquares(x: usize, size: i32, first: i32, count: i32, sums: usize): void {
  for (let piece = first; piece < first + count; piece++) {
    let at = x + offset(piece * SQUARES);
    const end = x + offset(min(size, (piece + 1) * SQUARES));
    let a = f64x2.splat(0);
    let b = f64x2.splat(0);
    for (; at + 16 <= end; at += 16) {
      const four = v128.load(at);
      const lower = f64x2.promote_low_f32x4(four);
      const upper = f64x2.promote_low_f32x4(upperHalf(four));
      a = f64x2.add(a, f64x2.mul(lower, lower));
      b = f64x2.add(b, f64x2.mul(upper, upper));
    }
    const pairs = f64x2.add(a, b);
    let sum = f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
    for (; at < end; at += 4) {
      const value = <f64>load<f32>(at);
      sum += value * value;
    }
    store<f64>(sums, sum);
    sums += 8;
  }
}
