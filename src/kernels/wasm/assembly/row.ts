/**
 * Products of a few rows with a matrix that is read where it is, once. Such a product takes as long as reading the matrix. A core
 * reads twice as fast from eight places far apart, each of which goes on where it was, as from one place, or from eight places near
 * each other: it fetches ahead of each of them.
 */
import {loadUpTo, multiplyAdd, offset, storeUpTo, sumOf} from './vector';

/** From how many places a matrix is read; `addEightRows` and `dotEightRows` have them one by one. */
const PLACES: i32 = 8;

/** Columns that are worked on at a time for several rows: eight parts of rows of `b` stay in the L1 cache. */
const CHUNK_COLUMNS: i32 = 512;

/**
 * `c = a · b`, or `c += a · b`, for `rows` rows `a` of `inner` numbers that are `aStep` bytes apart. Other steps are the bytes from
 * one row to the next.
 */
export function multiplyRows(
  rows: i32,
  columns: i32,
  inner: i32,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  for (let row = 0; !add && row < rows; row++) {
    memory.fill(c + <usize>row * cStep, 0, offset(columns));
  }
  const part = inner / PLACES;
  const aFar = <usize>part * aStep;
  const bFar = <usize>part * bStep;
  const width = rows == 1 ? columns : CHUNK_COLUMNS;
  for (let i = 0; i < part; i++) {
    for (let from = 0; from < columns; from += width) {
      const here = offset(from);
      const count = min(columns - from, width);
      for (let row = 0; row < rows; row++) {
        const aHere = a + <usize>row * aRow;
        addEightRows(count, aHere, aFar, b + here, bFar, c + <usize>row * cStep + here);
      }
    }
    a += aStep;
    b += bStep;
  }
  a += <usize>(PLACES - 1) * aFar;
  b += <usize>(PLACES - 1) * bFar;
  for (let i = part * PLACES; i < inner; i++) {
    for (let row = 0; row < rows; row++) {
      addOneRow(columns, a + <usize>row * aRow, b, c + <usize>row * cStep);
    }
    a += aStep;
    b += bStep;
  }
}

/** Adds eight rows of `b`, `bFar` bytes apart, times eight numbers, `aFar` bytes apart. */
function addEightRows(columns: i32, a: usize, aFar: usize, b0: usize, bFar: usize, c: usize): void {
  const a0 = v128.load32_splat(a);
  const a1 = v128.load32_splat(a + aFar);
  const a2 = v128.load32_splat(a + 2 * aFar);
  const a3 = v128.load32_splat(a + 3 * aFar);
  const a4 = v128.load32_splat(a + 4 * aFar);
  const a5 = v128.load32_splat(a + 5 * aFar);
  const a6 = v128.load32_splat(a + 6 * aFar);
  const a7 = v128.load32_splat(a + 7 * aFar);
  const b1 = b0 + bFar;
  const b2 = b1 + bFar;
  const b3 = b2 + bFar;
  const b4 = b3 + bFar;
  const b5 = b4 + bFar;
  const b6 = b5 + bFar;
  const b7 = b6 + bFar;
  const whole = offset(columns & -4);
  for (let at: usize = 0; at < whole; at += 16) {
    let sum = multiplyAdd(a0, v128.load(b0 + at), v128.load(c + at));
    let other = f32x4.mul(a1, v128.load(b1 + at));
    sum = multiplyAdd(a2, v128.load(b2 + at), sum);
    other = multiplyAdd(a3, v128.load(b3 + at), other);
    sum = multiplyAdd(a4, v128.load(b4 + at), sum);
    other = multiplyAdd(a5, v128.load(b5 + at), other);
    sum = multiplyAdd(a6, v128.load(b6 + at), sum);
    other = multiplyAdd(a7, v128.load(b7 + at), other);
    v128.store(c + at, f32x4.add(sum, other));
  }
  const left = columns & 3;
  if (left == 0) return;
  for (let place = 0; place < PLACES; place++) {
    addOneRow(left, a, b0 + whole, c + whole);
    a += aFar;
    b0 += bFar;
  }
}

function addOneRow(columns: i32, a: usize, b: usize, c: usize): void {
  const x = v128.load32_splat(a);
  for (let j = 0; j < columns; j += 4) {
    const left = columns - j;
    const at = offset(j);
    storeUpTo(c + at, multiplyAdd(x, loadUpTo(b + at, left), loadUpTo(c + at, left)), left);
  }
}

/**
 * `c = a · bᵀ`, or `c += a · bᵀ`, for `rows` rows `a` of `inner` numbers that lie side by side, and `b` `[columns, inner]`. Steps
 * are the bytes from one row to the next.
 */
export function multiplyRowsTransposed(
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
  for (let column = 0; column < part; column++) {
    for (let row = 0; row < rows; row++) {
      const cHere = c + <usize>row * cStep;
      dotEightRows(inner, a + <usize>row * aRow, b, far, cHere, offset(part), add);
    }
    b += bStep;
    c += 4;
  }
  b += <usize>(PLACES - 1) * far;
  c += <usize>(PLACES - 1) * offset(part);
  for (let column = part * PLACES; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      const aHere = a + <usize>row * aRow;
      let sum = f32x4.splat(0);
      for (let i = 0; i < inner; i += 4) {
        const left = inner - i;
        sum = multiplyAdd(loadUpTo(aHere + offset(i), left), loadUpTo(b + offset(i), left), sum);
      }
      put(c + <usize>row * cStep, sum, add);
    }
    b += bStep;
    c += 4;
  }
}

/** The products of a row with eight rows of `b`, `far` bytes apart, to places that are `cFar` bytes apart. */
function dotEightRows(
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
  const whole = offset(inner & -4);
  let at: usize = 0;
  for (; at < whole; at += 16) {
    const x = v128.load(a + at);
    s0 = multiplyAdd(x, v128.load(b0 + at), s0);
    s1 = multiplyAdd(x, v128.load(b1 + at), s1);
    s2 = multiplyAdd(x, v128.load(b2 + at), s2);
    s3 = multiplyAdd(x, v128.load(b3 + at), s3);
    s4 = multiplyAdd(x, v128.load(b4 + at), s4);
    s5 = multiplyAdd(x, v128.load(b5 + at), s5);
    s6 = multiplyAdd(x, v128.load(b6 + at), s6);
    s7 = multiplyAdd(x, v128.load(b7 + at), s7);
  }
  const left = inner & 3;
  if (left > 0) {
    const x = loadUpTo(a + at, left);
    s0 = multiplyAdd(x, loadUpTo(b0 + at, left), s0);
    s1 = multiplyAdd(x, loadUpTo(b1 + at, left), s1);
    s2 = multiplyAdd(x, loadUpTo(b2 + at, left), s2);
    s3 = multiplyAdd(x, loadUpTo(b3 + at, left), s3);
    s4 = multiplyAdd(x, loadUpTo(b4 + at, left), s4);
    s5 = multiplyAdd(x, loadUpTo(b5 + at, left), s5);
    s6 = multiplyAdd(x, loadUpTo(b6 + at, left), s6);
    s7 = multiplyAdd(x, loadUpTo(b7 + at, left), s7);
  }
  put(c, s0, add);
  put(c + cFar, s1, add);
  put(c + 2 * cFar, s2, add);
  put(c + 3 * cFar, s3, add);
  put(c + 4 * cFar, s4, add);
  put(c + 5 * cFar, s5, add);
  put(c + 6 * cFar, s6, add);
  put(c + 7 * cFar, s7, add);
}

/** Stores the sum of four numbers, or adds it to what is there. */
function put(to: usize, sum: v128, add: bool): void {
  const before: f32 = add ? load<f32>(to) : 0;
  store<f32>(to, before + sumOf(sum));
}
