import {loadUpTo, offset, storeUpTo} from './vector';

/** Copies `size` numbers of 32 bits; they may overlap. */
export function copy(from: usize, size: i32, to: usize): void {
  memory.copy(to, from, offset(size));
}

/** Copies `rows` rows of `size` numbers of 32 bits. Steps are the bytes from one row to the next. */
export function copyRows(
  from: usize,
  fromStep: usize,
  rows: i32,
  size: i32,
  to: usize,
  toStep: usize,
): void {
  for (let row = 0; row < rows; row++) {
    copyRow(from, size, to);
    from += fromStep;
    to += toStep;
  }
}

/** Copies those rows of `x`, of `size` numbers of 32 bits each, whose numbers are the `rows` int32 `ids`, one behind the other. */
export function gatherRows(x: usize, ids: usize, rows: i32, size: i32, y: usize): void {
  for (let row = 0; row < rows; row++) {
    copyRow(x + offset(size) * load<u32>(ids + offset(row)), size, y);
    y += offset(size);
  }
}

function copyRow(from: usize, size: i32, to: usize): void {
  if (size > 64) {
    memory.copy(to, from, offset(size));
    return;
  }
  for (let i = 0; i < size; i += 4)
    storeUpTo(to + offset(i), loadUpTo(from + offset(i), size - i), size - i);
}

/** Sets `size` numbers of 32 bits, given by their bits. */
export function fill(y: usize, size: i32, bits: i32): void {
  if (bits == 0) {
    memory.fill(y, 0, offset(size));
    return;
  }
  const values = i32x4.splat(bits);
  for (let i = 0; i < size; i += 4) storeUpTo(y + offset(i), values, size - i);
}

/** The int32 `x` as float32, rounded to nearest even. */
export function toFloats(x: usize, size: i32, y: usize): void {
  for (let i = 0; i < size; i += 4) {
    const left = size - i;
    storeUpTo(y + offset(i), f32x4.convert_i32x4_s(loadUpTo(x + offset(i), left)), left);
  }
}
