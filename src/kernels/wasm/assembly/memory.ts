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

/** Not by `memory.copy`, which takes up to ten times as long where both addresses are alike in their lower twelve bits. */
function copyRow(from: usize, size: i32, to: usize): void {
  let i = 0;
  for (; i + 16 <= size; i += 16) {
    const source = from + offset(i);
    const target = to + offset(i);
    const x0 = v128.load(source);
    const x1 = v128.load(source, 16);
    const x2 = v128.load(source, 32);
    const x3 = v128.load(source, 48);
    v128.store(target, x0);
    v128.store(target, x1, 16);
    v128.store(target, x2, 32);
    v128.store(target, x3, 48);
  }
  for (; i < size; i += 4)
    storeUpTo(to + offset(i), loadUpTo(from + offset(i), size - i), size - i);
}

/** Sets `size` numbers of 32 bits, given by their bits. */
export function fill(y: usize, size: i32, bits: i32): void {
  if (bits == 0) {
    memory.fill(y, 0, offset(size));
    return;
  }
  const values = i32x4.splat(bits);
  let i = 0;
  for (; i + 16 <= size; i += 16) {
    const at = y + offset(i);
    v128.store(at, values);
    v128.store(at, values, 16);
    v128.store(at, values, 32);
    v128.store(at, values, 48);
  }
  for (; i < size; i += 4) storeUpTo(y + offset(i), values, size - i);
}

/** The int32 `x` as float32, rounded to nearest even. */
export function toFloats(x: usize, size: i32, y: usize): void {
  let i = 0;
  for (; i + 16 <= size; i += 16) {
    const from = x + offset(i);
    const to = y + offset(i);
    v128.store(to, f32x4.convert_i32x4_s(v128.load(from)));
    v128.store(to, f32x4.convert_i32x4_s(v128.load(from, 16)), 16);
    v128.store(to, f32x4.convert_i32x4_s(v128.load(from, 32)), 32);
    v128.store(to, f32x4.convert_i32x4_s(v128.load(from, 48)), 48);
  }
  for (; i < size; i += 4) {
    const left = size - i;
    storeUpTo(y + offset(i), f32x4.convert_i32x4_s(loadUpTo(x + offset(i), left)), left);
  }
}
