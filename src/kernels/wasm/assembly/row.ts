import {loadUpTo, multiplyAdd, offset, storeUpTo} from './vector';

/**
 * `c = a · b`, or `c += a · b`, for one row `a` of `inner` numbers that are `aStep` bytes apart.
 * Nothing is packed: each number of `b` is read once, along its rows, four rows at a time.
 */
export function multiplyRow(
  columns: i32,
  inner: i32,
  a: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  add: bool,
): void {
  if (!add) memory.fill(c, 0, offset(columns));
  let i = 0;
  for (; i + 4 <= inner; i += 4) {
    addFourRows(columns, a, aStep, b, bStep, c);
    a += 4 * aStep;
    b += 4 * bStep;
  }
  for (; i < inner; i++) {
    addOneRow(columns, a, b, c);
    a += aStep;
    b += bStep;
  }
}

function addFourRows(
  columns: i32,
  a: usize,
  aStep: usize,
  b0: usize,
  bStep: usize,
  c: usize,
): void {
  const a0 = v128.load32_splat(a);
  const a1 = v128.load32_splat(a + aStep);
  const a2 = v128.load32_splat(a + 2 * aStep);
  const a3 = v128.load32_splat(a + 3 * aStep);
  const b1 = b0 + bStep;
  const b2 = b1 + bStep;
  const b3 = b2 + bStep;
  const whole = offset(columns & -4);
  for (let at: usize = 0; at < whole; at += 16) {
    const sum = multiplyAdd(a0, v128.load(b0 + at), v128.load(c + at));
    const other = multiplyAdd(a3, v128.load(b3 + at), f32x4.mul(a2, v128.load(b2 + at)));
    v128.store(c + at, f32x4.add(multiplyAdd(a1, v128.load(b1 + at), sum), other));
  }
  const left = columns & 3;
  if (left == 0) return;
  c += whole;
  let sum = multiplyAdd(a0, loadUpTo(b0 + whole, left), loadUpTo(c, left));
  sum = multiplyAdd(a1, loadUpTo(b1 + whole, left), sum);
  sum = multiplyAdd(a2, loadUpTo(b2 + whole, left), sum);
  storeUpTo(c, multiplyAdd(a3, loadUpTo(b3 + whole, left), sum), left);
}

function addOneRow(columns: i32, a: usize, b: usize, c: usize): void {
  const x = v128.load32_splat(a);
  for (let j = 0; j < columns; j += 4) {
    const left = columns - j;
    const at = offset(j);
    storeUpTo(c + at, multiplyAdd(x, loadUpTo(b + at, left), loadUpTo(c + at, left)), left);
  }
}
