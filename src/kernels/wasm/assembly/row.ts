/**
 * Products of a few rows with a matrix, float32 or bfloat16 (`T`: see `bfloat16`), that is read where it is, once. With one row they
 * take as long as reading the matrix. A core reads twice as fast from several places far apart, each of which goes on where it was,
 * as from one place, or from several places near each other: it fetches ahead of each of them. With more rows they take as long as
 * the products, so each number of the matrix is multiplied with up to four rows while it is in a register.
 *
 * Each result is summed up in an order that depends neither on the type nor on how many rows there are.
 */
import {bytesOf, firstFour, lastFour, widenUpTo} from './bfloat16';
import {loadUpTo, multiplyAdd, offset, storeUpTo} from './vector';

/** From how many places a matrix is read. */
const PLACES: i32 = 8;

/** Rows that are worked on at a time. */
const ROWS: i32 = 8;

/** Rows that a number of the matrix is multiplied with while it is in a register, at most. */
const ROWS_OF_TILE: i32 = 4;

/** Columns that are worked on at a time for rows in tiles of several heights: their parts of rows of `b` stay in the L1 cache. */
const CHUNK_COLUMNS: i32 = 512;

/** Parts of a long inner dimension that are summed up on their own: threads read whole rows of a matrix, not parts of each row. */
export const SECTIONS: i32 = 8;

/** The inner dimension is long from here on. */
const LONG: i32 = 256;

/** Bytes of memory that {@link multiplyRows} needs to work in. */
export const ROW_SCRATCH: usize = ROWS * PLACES * 4;

let scratch: usize = 0;
let sums: usize = 0;
let sumsBytes: usize = 0;

/** Gives {@link multiplyRows} the memory to work in, and `bytes` for the sums of sections. */
export function placeRowScratch(at: usize, sumsAt: usize, bytes: usize): void {
  scratch = at;
  sums = sumsAt;
  sumsBytes = bytes;
}

/** Whether products are summed up in sections. */
function isInSections(inner: i32): bool {
  return inner >= LONG;
}

/** How many columns of so many rows have room among the sums. */
function sectionColumns(rows: i32): i32 {
  return (<i32>(sumsBytes / offset(SECTIONS * rows))) & ~15;
}

/** The memory of this instance for the sums of sections of a product; 0 if it has none or there is not the room. */
export function sectionSums(rows: i32, columns: i32, inner: i32): usize {
  return isInSections(inner) && columns <= sectionColumns(rows) ? sums : 0;
}

/**
 * `c = a · b`, or `c += a · b`, for `rows` rows `a` of `inner` numbers that are `aStep` bytes apart. Other steps are the bytes from
 * one row to the next.
 */
export function multiplyRows<T>(
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
  for (; rows > 0; rows -= ROWS) {
    const some = min(rows, ROWS);
    if (isInSections(inner)) {
      const width = sectionColumns(some);
      for (let j = 0; j < columns; j += width) {
        const count = min(columns - j, width);
        const bHere = b + bytesOf<T>(j);
        sumSections<T>(0, SECTIONS, some, count, inner, a, aRow, aStep, bHere, bStep, sums);
        addSections(some, count, sums, c + offset(j), cStep, add);
      }
    } else {
      for (let row = 0; !add && row < some; row++) {
        memory.fill(c + <usize>row * cStep, 0, offset(columns));
      }
      addProduct<T>(some, columns, inner, a, aRow, aStep, b, bStep, c, cStep);
    }
    a += <usize>ROWS * aRow;
    c += <usize>ROWS * cStep;
  }
}

/** The products `[rows, columns]` of `count` sections, from the section `first` on, to their places among `sums`. */
export function sumSections<T>(
  first: i32,
  count: i32,
  rows: i32,
  columns: i32,
  inner: i32,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  sums: usize,
): void {
  const cStep = offset(columns);
  for (let section = first; section < first + count; section++) {
    const from = (section * inner) / SECTIONS;
    const length = ((section + 1) * inner) / SECTIONS - from;
    const c = sums + offset(section * rows * columns);
    memory.fill(c, 0, offset(rows * columns));
    const aHere = a + <usize>from * aStep;
    const bHere = b + <usize>from * bStep;
    addProduct<T>(rows, columns, length, aHere, aRow, aStep, bHere, bStep, c, cStep);
  }
}

/** `c =`, or `c +=`, the sum of all `sums` `[SECTIONS, rows, columns]`. */
export function addSections(
  rows: i32,
  columns: i32,
  sums: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  const far = offset(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < columns; j += 4) {
      const left = columns - j;
      const to = c + offset(j);
      let from = sums + offset(j);
      let sum = add ? loadUpTo(to, left) : f32x4.splat(0);
      for (let section = 0; section < SECTIONS; section++) {
        sum = f32x4.add(sum, loadUpTo(from, left));
        from += far;
      }
      storeUpTo(to, sum, left);
    }
    sums += offset(columns);
    c += cStep;
  }
}

function addProduct<T>(
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
): void {
  // An odd number of rows from one place to the next: else, with columns by powers of two, all would have the same place in a cache.
  const part = inner < 2 * PLACES ? 0 : (inner / PLACES - 1) | 1;
  const aFar = <usize>part * aStep;
  const bFar = <usize>part * bStep;
  for (let i = 0; i < part; i++) {
    addPlaces<T>(rows, columns, PLACES, a, aRow, aFar, b, bFar, c, cStep);
    a += aStep;
    b += bStep;
  }
  a += <usize>(PLACES - 1) * aFar;
  b += <usize>(PLACES - 1) * bFar;
  for (let i = part * PLACES; i < inner; i += PLACES) {
    addPlaces<T>(rows, columns, min(inner - i, PLACES), a, aRow, aStep, b, bStep, c, cStep);
    a += <usize>PLACES * aStep;
    b += <usize>PLACES * bStep;
  }
}

/** Adds the rows of `b` at some places, `bFar` bytes apart, times the numbers of each row of `a` that are `aFar` bytes apart. */
function addPlaces<T>(
  rows: i32,
  columns: i32,
  places: i32,
  a: usize,
  aRow: usize,
  aFar: usize,
  b: usize,
  bFar: usize,
  c: usize,
  cStep: usize,
): void {
  gather(rows, places, a, aRow, aFar);
  const width = rows <= ROWS_OF_TILE ? columns : CHUNK_COLUMNS;
  for (let column = 0; column < columns; column += width) {
    const count = min(columns - column, width);
    const bHere = b + bytesOf<T>(column);
    let cHere = c + offset(column);
    let factors = scratch;
    for (let row = 0; row < rows;) {
      const height = heightOf(rows - row);
      const size = offset(height * places);
      const tiles = height == ROWS_OF_TILE ? (rows - row) / ROWS_OF_TILE : 1;
      if (height == 4) addToFours<T>(tiles, count, factors, size, bHere, bFar, cHere, cStep);
      else if (height == 2) addToTwo<T>(count, factors, size, bHere, bFar, cHere, cStep);
      else addToOne<T>(count, factors, size, bHere, bFar, cHere, cStep);
      factors += size * <usize>tiles;
      cHere += <usize>(height * tiles) * cStep;
      row += height * tiles;
    }
  }
}

/** How many of `rows` rows a tile takes. */
function heightOf(rows: i32): i32 {
  return rows >= ROWS_OF_TILE ? ROWS_OF_TILE : rows >= 2 ? 2 : 1;
}

/** Copies the factors of the rows of a tile side by side, place by place. */
function gather(rows: i32, places: i32, a: usize, aRow: usize, aFar: usize): void {
  let to = scratch;
  for (let row = 0; row < rows;) {
    const height = heightOf(rows - row);
    for (let i = 0; i < height; i++) {
      let from = a + <usize>(row + i) * aRow;
      for (let place = 0; place < places; place++) {
        store<f32>(to + offset(place * height + i), load<f32>(from));
        from += aFar;
      }
    }
    to += offset(height * places);
    row += height;
  }
}

/*
 * Tiles of one, two and four rows: sums in registers, to which the products at each place are added. For two rows and more there are
 * eight sums, and one place in each turn of the loop: of several V8 loads all factors first, for which it has not the registers.
 *
 * Of the `factors` there are `size` bytes.
 */

function addToOne<T>(
  columns: i32,
  factors: usize,
  size: usize,
  b: usize,
  bFar: usize,
  c: usize,
  cStep: usize,
): void {
  const end = factors + size;
  for (; factors + 32 <= end; factors += 32) {
    const j = addEightPlaces<T>(columns, factors, b, bFar, c);
    addRest<T>(
      1,
      columns - j,
      factors,
      factors + 32,
      b + bytesOf<T>(j),
      bFar,
      c + offset(j),
      cStep,
    );
    b += 8 * bFar;
  }
  if (factors < end) addRest<T>(1, columns, factors, end, b, bFar, c, cStep);
}

/**
 * Eight places for one row. Each has an instruction of its own: processors tell by the instruction from where it goes on, and fetch
 * ahead. Returns how many columns are done.
 */
function addEightPlaces<T>(columns: i32, factors: usize, b: usize, bFar: usize, c: usize): i32 {
  const x0 = v128.load32_splat(factors);
  const x1 = v128.load32_splat(factors, 4);
  const x2 = v128.load32_splat(factors, 8);
  const x3 = v128.load32_splat(factors, 12);
  const x4 = v128.load32_splat(factors, 16);
  const x5 = v128.load32_splat(factors, 20);
  const x6 = v128.load32_splat(factors, 24);
  const x7 = v128.load32_splat(factors, 28);
  const b1 = b + bFar;
  const b2 = b1 + bFar;
  const b3 = b2 + bFar;
  const b4 = b3 + bFar;
  const b5 = b4 + bFar;
  const b6 = b5 + bFar;
  const b7 = b6 + bFar;
  let j = 0;
  for (; j + 8 <= columns; j += 8) {
    const to = c + offset(j);
    const at = bytesOf<T>(j);
    let s = v128.load(to);
    let t = v128.load(to, 16);
    let bytes = v128.load(b + at);
    s = multiplyAdd(x0, firstFour<T>(bytes), s);
    t = multiplyAdd(x0, lastFour<T>(bytes, b + at), t);
    bytes = v128.load(b1 + at);
    s = multiplyAdd(x1, firstFour<T>(bytes), s);
    t = multiplyAdd(x1, lastFour<T>(bytes, b1 + at), t);
    bytes = v128.load(b2 + at);
    s = multiplyAdd(x2, firstFour<T>(bytes), s);
    t = multiplyAdd(x2, lastFour<T>(bytes, b2 + at), t);
    bytes = v128.load(b3 + at);
    s = multiplyAdd(x3, firstFour<T>(bytes), s);
    t = multiplyAdd(x3, lastFour<T>(bytes, b3 + at), t);
    bytes = v128.load(b4 + at);
    s = multiplyAdd(x4, firstFour<T>(bytes), s);
    t = multiplyAdd(x4, lastFour<T>(bytes, b4 + at), t);
    bytes = v128.load(b5 + at);
    s = multiplyAdd(x5, firstFour<T>(bytes), s);
    t = multiplyAdd(x5, lastFour<T>(bytes, b5 + at), t);
    bytes = v128.load(b6 + at);
    s = multiplyAdd(x6, firstFour<T>(bytes), s);
    t = multiplyAdd(x6, lastFour<T>(bytes, b6 + at), t);
    bytes = v128.load(b7 + at);
    s = multiplyAdd(x7, firstFour<T>(bytes), s);
    t = multiplyAdd(x7, lastFour<T>(bytes, b7 + at), t);
    v128.store(to, s);
    v128.store(to, t, 16);
  }
  return j;
}

function addToTwo<T>(
  columns: i32,
  factors: usize,
  size: usize,
  b: usize,
  bFar: usize,
  c: usize,
  cStep: usize,
): void {
  const end = factors + size;
  let j = 0;
  for (; j + 16 <= columns; j += 16) {
    const to = c + offset(j);
    const toNext = to + cStep;
    let s00 = v128.load(to);
    let s01 = v128.load(to, 16);
    let s02 = v128.load(to, 32);
    let s03 = v128.load(to, 48);
    let s10 = v128.load(toNext);
    let s11 = v128.load(toNext, 16);
    let s12 = v128.load(toNext, 32);
    let s13 = v128.load(toNext, 48);
    let from = b + bytesOf<T>(j);
    let factor = factors;
    do {
      const bytes0 = v128.load(from);
      const b0 = firstFour<T>(bytes0);
      const b1 = lastFour<T>(bytes0, from);
      const from2 = from + bytesOf<T>(8);
      const bytes2 = v128.load(from2);
      const b2 = firstFour<T>(bytes2);
      const b3 = lastFour<T>(bytes2, from2);
      const x0 = v128.load32_splat(factor);
      s00 = multiplyAdd(x0, b0, s00);
      s01 = multiplyAdd(x0, b1, s01);
      s02 = multiplyAdd(x0, b2, s02);
      s03 = multiplyAdd(x0, b3, s03);
      const x1 = v128.load32_splat(factor, 4);
      s10 = multiplyAdd(x1, b0, s10);
      s11 = multiplyAdd(x1, b1, s11);
      s12 = multiplyAdd(x1, b2, s12);
      s13 = multiplyAdd(x1, b3, s13);
      from += bFar;
      factor += 8;
    } while (factor != end);
    v128.store(to, s00);
    v128.store(to, s01, 16);
    v128.store(to, s02, 32);
    v128.store(to, s03, 48);
    v128.store(toNext, s10);
    v128.store(toNext, s11, 16);
    v128.store(toNext, s12, 32);
    v128.store(toNext, s13, 48);
  }
  addRest<T>(2, columns - j, factors, end, b + bytesOf<T>(j), bFar, c + offset(j), cStep);
}

/**
 * Some tiles of four rows, one below the other. All have the same columns before any has the next ones, so that the memory is
 * read all the time: each part of it once, and from the L1 cache for the other tiles.
 */
function addToFours<T>(
  tiles: i32,
  columns: i32,
  factors: usize,
  size: usize,
  b: usize,
  bFar: usize,
  c: usize,
  cStep: usize,
): void {
  let j = 0;
  for (; j + 8 <= columns; j += 8) {
    let factor = factors;
    let to0 = c + offset(j);
    for (let tile = 0; tile < tiles; tile++) {
      const end = factor + size;
      const to1 = to0 + cStep;
      const to2 = to1 + cStep;
      const to3 = to2 + cStep;
      let s00 = v128.load(to0);
      let s01 = v128.load(to0, 16);
      let s10 = v128.load(to1);
      let s11 = v128.load(to1, 16);
      let s20 = v128.load(to2);
      let s21 = v128.load(to2, 16);
      let s30 = v128.load(to3);
      let s31 = v128.load(to3, 16);
      let from = b + bytesOf<T>(j);
      do {
        const bytes = v128.load(from);
        const b0 = firstFour<T>(bytes);
        const b1 = lastFour<T>(bytes, from);
        const x0 = v128.load32_splat(factor);
        s00 = multiplyAdd(x0, b0, s00);
        s01 = multiplyAdd(x0, b1, s01);
        const x1 = v128.load32_splat(factor, 4);
        s10 = multiplyAdd(x1, b0, s10);
        s11 = multiplyAdd(x1, b1, s11);
        const x2 = v128.load32_splat(factor, 8);
        s20 = multiplyAdd(x2, b0, s20);
        s21 = multiplyAdd(x2, b1, s21);
        const x3 = v128.load32_splat(factor, 12);
        s30 = multiplyAdd(x3, b0, s30);
        s31 = multiplyAdd(x3, b1, s31);
        from += bFar;
        factor += 16;
      } while (factor != end);
      v128.store(to0, s00);
      v128.store(to0, s01, 16);
      v128.store(to1, s10);
      v128.store(to1, s11, 16);
      v128.store(to2, s20);
      v128.store(to2, s21, 16);
      v128.store(to3, s30);
      v128.store(to3, s31, 16);
      to0 = to3 + cStep;
    }
  }
  b += bytesOf<T>(j);
  c += offset(j);
  for (let tile = 0; tile < tiles; tile++) {
    const end = factors + size;
    addRest<T>(4, columns - j, factors, end, b, bFar, c, cStep);
    factors = end;
    c += 4 * cStep;
  }
}

/** The same for the last columns, four at a time. */
function addRest<T>(
  rows: i32,
  columns: i32,
  factors: usize,
  end: usize,
  b: usize,
  bFar: usize,
  c: usize,
  cStep: usize,
): void {
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < columns; j += 4) {
      const left = columns - j;
      const to = c + offset(j);
      let from = b + bytesOf<T>(j);
      let sum = loadUpTo(to, left);
      for (let factor = factors + offset(row); factor < end; factor += offset(rows)) {
        sum = multiplyAdd(v128.load32_splat(factor), widenUpTo<T>(from, left), sum);
        from += bFar;
      }
      storeUpTo(to, sum, left);
    }
    c += cStep;
  }
}
