/** As `row`, with a matrix that is transposed: each result is the product of a row of `a` with a row of `b`. */
import {bytesOf, firstFour, lastFour, widenUpTo} from './bfloat16';
import {loadUpTo, multiplyAdd, offset, sumOf} from './vector';

/** From how many places a matrix is read; `dotOne` has them one by one, `dotTwo` half of them. */
const PLACES: i32 = 8;

/**
 * `c = a · bᵀ`, or `c += a · bᵀ`, for `rows` rows `a` of `inner` numbers that lie side by side, and `b` `[columns, inner]`, whose
 * rows do, too. Steps are the bytes from one row to the next.
 */
export function multiplyRowsTransposed<T>(
  rows: i32,
  columns: i32,
  inner: i32,
  a: usize,
  aRow: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  const part = columns / PLACES;
  const far = <usize>part * bStep;
  const cFar = offset(part);
  for (let column = 0; column < part; column++) {
    let aHere = a;
    let cHere = c;
    let left = rows;
    for (; left > 1; left -= 2) {
      dotTwo<T>(inner, aHere, aRow, b, far, cHere, cStep, cFar, add);
      dotTwo<T>(inner, aHere, aRow, b + 4 * far, far, cHere + 4 * cFar, cStep, cFar, add);
      aHere += 2 * aRow;
      cHere += 2 * cStep;
    }
    if (left == 1) dotOne<T>(inner, aHere, b, far, cHere, cFar, add);
    b += bStep;
    c += 4;
  }
  b += <usize>(PLACES - 1) * far;
  c += <usize>(PLACES - 1) * cFar;
  for (let column = part * PLACES; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      const sum = addDot<T>(0, inner, a + <usize>row * aRow, b, f32x4.splat(0));
      put(c + <usize>row * cStep, sum, add);
    }
    b += bStep;
    c += 4;
  }
}

/** The products of a row with eight rows of `b`, `far` bytes apart, to places that are `cFar` bytes apart. */
function dotOne<T>(
  inner: i32,
  a: usize,
  b0: usize,
  far: usize,
  c: usize,
  cFar: usize,
  add: bool,
): void {
  const b1 = b0 + far;
  const b2 = b1 + far;
  const b3 = b2 + far;
  const b4 = b3 + far;
  const b5 = b4 + far;
  const b6 = b5 + far;
  const b7 = b6 + far;
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  let i = 0;
  for (; i + 8 <= inner; i += 8) {
    const at = bytesOf<T>(i);
    const x = v128.load(a + offset(i));
    const y = v128.load(a + offset(i), 16);
    s0 = addEight<T>(x, y, b0 + at, s0);
    s1 = addEight<T>(x, y, b1 + at, s1);
    s2 = addEight<T>(x, y, b2 + at, s2);
    s3 = addEight<T>(x, y, b3 + at, s3);
    s4 = addEight<T>(x, y, b4 + at, s4);
    s5 = addEight<T>(x, y, b5 + at, s5);
    s6 = addEight<T>(x, y, b6 + at, s6);
    s7 = addEight<T>(x, y, b7 + at, s7);
  }
  put(c, addDot<T>(i, inner, a, b0, s0), add);
  put(c + cFar, addDot<T>(i, inner, a, b1, s1), add);
  put(c + 2 * cFar, addDot<T>(i, inner, a, b2, s2), add);
  put(c + 3 * cFar, addDot<T>(i, inner, a, b3, s3), add);
  put(c + 4 * cFar, addDot<T>(i, inner, a, b4, s4), add);
  put(c + 5 * cFar, addDot<T>(i, inner, a, b5, s5), add);
  put(c + 6 * cFar, addDot<T>(i, inner, a, b6, s6), add);
  put(c + 7 * cFar, addDot<T>(i, inner, a, b7, s7), add);
}

function addEight<T>(x: v128, y: v128, b: usize, sum: v128): v128 {
  const bytes = v128.load(b);
  sum = multiplyAdd(x, firstFour<T>(bytes), sum);
  return multiplyAdd(y, lastFour<T>(bytes, b), sum);
}

/** The products of two rows, `aRow` bytes apart, with four rows of `b`. */
function dotTwo<T>(
  inner: i32,
  a0: usize,
  aRow: usize,
  b0: usize,
  far: usize,
  c: usize,
  cStep: usize,
  cFar: usize,
  add: bool,
): void {
  const a1 = a0 + aRow;
  const b1 = b0 + far;
  const b2 = b1 + far;
  const b3 = b2 + far;
  let s00 = f32x4.splat(0);
  let s01 = s00;
  let s02 = s00;
  let s03 = s00;
  let s10 = s00;
  let s11 = s00;
  let s12 = s00;
  let s13 = s00;
  let i = 0;
  for (; i + 8 <= inner; i += 8) {
    const at = bytesOf<T>(i);
    const x0 = v128.load(a0 + offset(i));
    const y0 = v128.load(a0 + offset(i), 16);
    const x1 = v128.load(a1 + offset(i));
    const y1 = v128.load(a1 + offset(i), 16);
    let bytes = v128.load(b0 + at);
    let four = firstFour<T>(bytes);
    s00 = multiplyAdd(x0, four, s00);
    s10 = multiplyAdd(x1, four, s10);
    four = lastFour<T>(bytes, b0 + at);
    s00 = multiplyAdd(y0, four, s00);
    s10 = multiplyAdd(y1, four, s10);
    bytes = v128.load(b1 + at);
    four = firstFour<T>(bytes);
    s01 = multiplyAdd(x0, four, s01);
    s11 = multiplyAdd(x1, four, s11);
    four = lastFour<T>(bytes, b1 + at);
    s01 = multiplyAdd(y0, four, s01);
    s11 = multiplyAdd(y1, four, s11);
    bytes = v128.load(b2 + at);
    four = firstFour<T>(bytes);
    s02 = multiplyAdd(x0, four, s02);
    s12 = multiplyAdd(x1, four, s12);
    four = lastFour<T>(bytes, b2 + at);
    s02 = multiplyAdd(y0, four, s02);
    s12 = multiplyAdd(y1, four, s12);
    bytes = v128.load(b3 + at);
    four = firstFour<T>(bytes);
    s03 = multiplyAdd(x0, four, s03);
    s13 = multiplyAdd(x1, four, s13);
    four = lastFour<T>(bytes, b3 + at);
    s03 = multiplyAdd(y0, four, s03);
    s13 = multiplyAdd(y1, four, s13);
  }
  put(c, addDot<T>(i, inner, a0, b0, s00), add);
  put(c + cFar, addDot<T>(i, inner, a0, b1, s01), add);
  put(c + 2 * cFar, addDot<T>(i, inner, a0, b2, s02), add);
  put(c + 3 * cFar, addDot<T>(i, inner, a0, b3, s03), add);
  c += cStep;
  put(c, addDot<T>(i, inner, a1, b0, s10), add);
  put(c + cFar, addDot<T>(i, inner, a1, b1, s11), add);
  put(c + 2 * cFar, addDot<T>(i, inner, a1, b2, s12), add);
  put(c + 3 * cFar, addDot<T>(i, inner, a1, b3, s13), add);
}

/** Adds the products of two rows from place `i` on. */
function addDot<T>(i: i32, inner: i32, a: usize, b: usize, sum: v128): v128 {
  for (; i < inner; i += 4) {
    const left = inner - i;
    const factor = loadUpTo(a + offset(i), left);
    sum = multiplyAdd(factor, widenUpTo<T>(b + bytesOf<T>(i), left), sum);
  }
  return sum;
}

/** Stores the sum of four numbers, or adds it to what is there. */
function put(to: usize, sum: v128, add: bool): void {
  const before: f32 = add ? load<f32>(to) : 0;
  store<f32>(to, before + sumOf(sum));
}
