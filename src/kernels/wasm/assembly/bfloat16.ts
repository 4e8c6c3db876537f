/**
 * Numbers in memory that are float32, or bfloat16: functions of a type `T` take `f32` for the one and `u16` for the other. The bits of a
 * bfloat16 are the upper half of those of the same number as float32.
 */
import {loadUpTo, offset} from './vector';

/** Bytes of `count` numbers. */
export function bytesOf<T>(count: i32): usize {
  return <usize>count * sizeof<T>();
}

/** The first four of eight numbers at an address, from the 16 bytes there. */
export function firstFour<T>(bytes: v128): v128 {
  if (!isInteger<T>()) return bytes;
  return v128.shuffle<u16>(i16x8.splat(0), bytes, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The other four, from these bytes or from `at`, the address. */
export function lastFour<T>(bytes: v128, at: usize): v128 {
  if (!isInteger<T>()) return v128.load(at, 16);
  return v128.shuffle<u16>(i16x8.splat(0), bytes, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Up to four numbers at `from`, as `loadUpTo` of float32. */
export function widenUpTo<T>(from: usize, count: i32): v128 {
  if (!isInteger<T>()) return loadUpTo(from, count);
  let x = v128.load_lane<u16>(from, i16x8.splat(0), 1);
  if (count > 1) x = v128.load_lane<u16>(from, x, 3, 2);
  if (count > 2) x = v128.load_lane<u16>(from, x, 5, 4);
  if (count > 3) x = v128.load_lane<u16>(from, x, 7, 6);
  return x;
}

/** `size` bfloat16 at `packed` as float32 at `y`. */
export function unpackBfloat16(packed: usize, size: i32, y: usize): void {
  for (let i = 0; i < size; i += 8) {
    const from = packed + bytesOf<u16>(i);
    const to = y + offset(i);
    if (i + 8 <= size) {
      const bytes = v128.load(from);
      v128.store(to, firstFour<u16>(bytes));
      v128.store(to, lastFour<u16>(bytes, from), 16);
    } else {
      for (let j = 0; j < size - i; j++) {
        store<u32>(to + offset(j), (<u32>load<u16>(from + bytesOf<u16>(j))) << 16);
      }
    }
  }
}
