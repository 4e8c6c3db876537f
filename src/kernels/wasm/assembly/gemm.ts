/**
 * Products of float32 matrices by register tiles over packed panels (Goto & van de Geijn 2008).
 *
 * Both factors are copied, some of the inner dimension at a time, into panels in the order in which
 * the innermost loop reads them. The copy takes up the transpositions and the odd sizes, so there
 * is one loop for all cases.
 */
import {loadUpTo, multiplyAdd, offset, storeUpTo} from './vector';

/** Rows and columns of the tile of the result that stays in registers. */
const TILE_ROWS: i32 = 4;
const TILE_COLUMNS: i32 = 8;

/** Part of the inner dimension that is worked on at a time: two panels of it stay in the L1 cache. */
const BLOCK_INNER: i32 = 256;
/** Rows of the left factor that are packed at a time: they stay in the L2 cache. */
const BLOCK_ROWS: i32 = 128;
/** Columns of the right factor that are packed at a time. */
const BLOCK_COLUMNS: i32 = 1024;

/** Up to this many rows the right factor is read where it is: packing it would take longer. */
const FEW_ROWS: i32 = 8;

const TILE_BYTES: usize = TILE_ROWS * TILE_COLUMNS * 4;
const PACKED_LEFT_BYTES: usize = BLOCK_ROWS * BLOCK_INNER * 4;
const PACKED_RIGHT_BYTES: usize = BLOCK_COLUMNS * BLOCK_INNER * 4;

/** Bytes of memory that `multiply` needs to work in. */
export const MULTIPLY_SCRATCH: usize = TILE_BYTES + PACKED_LEFT_BYTES + PACKED_RIGHT_BYTES;

let scratch: usize = 0;

/** Gives `multiply` the memory to work in. */
export function placeScratch(at: usize): void {
  scratch = at;
}

/**
 * `c = a · b`, or `c += a · b`, with `a` `[rows, inner]` (in memory `[inner, rows]` if transposed),
 * `b` `[inner, columns]` (in memory `[columns, inner]` if transposed) and `c` `[rows, columns]`.
 * Steps are the bytes from one row in memory to the next.
 */
export function multiply(
  rows: i32,
  columns: i32,
  inner: i32,
  a: usize,
  aStep: usize,
  transposeA: bool,
  b: usize,
  bStep: usize,
  transposeB: bool,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  if (inner == 0 && !add) {
    for (let row = 0; row < rows; row++) {
      memory.fill(c + <usize>row * cStep, 0, offset(columns));
    }
  }
  if (rows == 1 && !transposeB) {
    multiplyRow(columns, inner, a, transposeA ? aStep : 4, b, bStep, c, add);
    return;
  }
  const edge = scratch;
  const left = edge + TILE_BYTES;
  const right = left + PACKED_LEFT_BYTES;
  const inPlace = !transposeB && rows <= FEW_ROWS;

  for (let column = 0; column < columns; column += BLOCK_COLUMNS) {
    const width = min(columns - column, BLOCK_COLUMNS);
    for (let depth = 0; depth < inner; depth += BLOCK_INNER) {
      const length = min(inner - depth, BLOCK_INNER);
      const bBlock = address(b, bStep, transposeB, depth, column);
      // of a factor that is read in place only the columns that fill no tile are packed
      const whole = inPlace ? width & -TILE_COLUMNS : 0;
      const packFrom = transposeB ? bBlock : bBlock + offset(whole);
      pack(right, packFrom, bStep, transposeB, width - whole, length, TILE_COLUMNS);

      for (let row = 0; row < rows; row += BLOCK_ROWS) {
        const height = min(rows - row, BLOCK_ROWS);
        const aBlock = address(a, aStep, transposeA, row, depth);
        pack(left, aBlock, aStep, !transposeA, height, length, TILE_ROWS);
        const cBlock = address(c, cStep, false, row, column);
        const addTo = add || depth > 0;
        for (let j = 0; j < width; j += TILE_COLUMNS) {
          const bTile = j < whole ? bBlock + offset(j) : right + offset((j - whole) * length);
          const bTileStep = j < whole ? bStep : TILE_COLUMNS * 4;
          const across = min(width - j, TILE_COLUMNS);
          for (let i = 0; i < height; i += TILE_ROWS) {
            const aTile = left + offset(i * length);
            const cTile = address(cBlock, cStep, false, i, j);
            const down = min(height - i, TILE_ROWS);
            if (down == TILE_ROWS && across == TILE_COLUMNS) {
              multiplyTile(length, aTile, bTile, bTileStep, cTile, cStep, addTo);
            } else {
              multiplyTile(length, aTile, bTile, bTileStep, edge, TILE_COLUMNS * 4, false);
              copyPart(edge, cTile, cStep, down, across, addTo);
            }
          }
        }
      }
    }
  }
}

/** A row times a matrix, each number of which is read once, where it is. */
function multiplyRow(
  columns: i32,
  inner: i32,
  a: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  add: bool,
): void {
  let j = 0;
  for (; j + 16 <= columns; j += 16) {
    let c0 = f32x4.splat(0);
    let c1 = f32x4.splat(0);
    let c2 = f32x4.splat(0);
    let c3 = f32x4.splat(0);
    let from = b + offset(j);
    for (let i = 0; i < inner; i++) {
      const x = v128.load32_splat(a + <usize>i * aStep);
      c0 = multiplyAdd(x, v128.load(from), c0);
      c1 = multiplyAdd(x, v128.load(from, 16), c1);
      c2 = multiplyAdd(x, v128.load(from, 32), c2);
      c3 = multiplyAdd(x, v128.load(from, 48), c3);
      from += bStep;
    }
    storeRow(c + offset(j), c0, c1, add);
    storeRow(c + offset(j + 8), c2, c3, add);
  }
  for (; j < columns; j += 4) {
    const left = columns - j;
    const to = c + offset(j);
    let sum = add ? loadUpTo(to, left) : f32x4.splat(0);
    let from = b + offset(j);
    for (let i = 0; i < inner; i++) {
      const x = v128.load32_splat(a + <usize>i * aStep);
      sum = multiplyAdd(x, loadUpTo(from, left), sum);
      from += bStep;
    }
    storeUpTo(to, sum, left);
  }
}

/** Where the element `[row, column]` of a matrix is, after the transposition. */
function address(matrix: usize, step: usize, transposed: bool, row: i32, column: i32): usize {
  return transposed
    ? matrix + <usize>column * step + offset(row)
    : matrix + <usize>row * step + offset(column);
}

/**
 * Copies `lines` lines of `length` numbers into panels of `width` lines each, in which the numbers
 * that the lines have at one position lie side by side. The last panel is filled up with lines
 * whose products are thrown away.
 *
 * @param along Whether a line lies in memory along a row, or else down a column.
 */
function pack(
  panels: usize,
  source: usize,
  step: usize,
  along: bool,
  lines: i32,
  length: i32,
  width: i32,
): void {
  for (let line = 0; line < lines; line += width) {
    const present = min(lines - line, width);
    if (along) {
      for (let group = 0; group < width; group += 4) {
        const first = line + group;
        packFour(panels + offset(group), offset(width), source, step, first, lines - 1, length);
      }
    } else {
      packColumns(panels, source + offset(line), step, present, length, width);
    }
    panels += offset(width * length);
  }
}

/** Packs four lines that lie along rows; those after `last` are that one again. */
function packFour(
  to: usize,
  toStep: usize,
  source: usize,
  step: usize,
  first: i32,
  last: i32,
  length: i32,
): void {
  let p0 = source + <usize>min(first, last) * step;
  let p1 = source + <usize>min(first + 1, last) * step;
  let p2 = source + <usize>min(first + 2, last) * step;
  let p3 = source + <usize>min(first + 3, last) * step;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const x0 = v128.load(p0);
    const x1 = v128.load(p1);
    const x2 = v128.load(p2);
    const x3 = v128.load(p3);
    const low01 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5);
    const low23 = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
    const high01 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7);
    const high23 = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f64>(low01, low23, 0, 2));
    v128.store(to + toStep, v128.shuffle<f64>(low01, low23, 1, 3));
    v128.store(to + 2 * toStep, v128.shuffle<f64>(high01, high23, 0, 2));
    v128.store(to + 3 * toStep, v128.shuffle<f64>(high01, high23, 1, 3));
    to += 4 * toStep;
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
  }
  for (; i < length; i++) {
    store<f32>(to, load<f32>(p0));
    store<f32>(to, load<f32>(p1), 4);
    store<f32>(to, load<f32>(p2), 8);
    store<f32>(to, load<f32>(p3), 12);
    to += toStep;
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
  }
}

/** Packs one panel of lines that lie down columns, `present` of them; the others are 0. */
function packColumns(
  to: usize,
  source: usize,
  step: usize,
  present: i32,
  length: i32,
  width: i32,
): void {
  for (let i = 0; i < length; i++) {
    if (present == width) {
      for (let j = 0; j < width; j += 4) v128.store(to + offset(j), v128.load(source + offset(j)));
    } else {
      for (let j = 0; j < width; j++) {
        store<f32>(to + offset(j), j < present ? load<f32>(source + offset(j)) : 0);
      }
    }
    to += offset(width);
    source += step;
  }
}

/** One tile of the result: a panel of the left factor times one of the right factor. */
function multiplyTile(
  length: i32,
  a: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  const end = a + <usize>length * TILE_ROWS * 4;
  while (a != end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = multiplyAdd(a0, b0, c00);
    c01 = multiplyAdd(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = multiplyAdd(a1, b0, c10);
    c11 = multiplyAdd(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = multiplyAdd(a2, b0, c20);
    c21 = multiplyAdd(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = multiplyAdd(a3, b0, c30);
    c31 = multiplyAdd(a3, b1, c31);
    a += TILE_ROWS * 4;
    b += bStep;
  }
  storeRow(c, c00, c01, add);
  storeRow(c + cStep, c10, c11, add);
  storeRow(c + 2 * cStep, c20, c21, add);
  storeRow(c + 3 * cStep, c30, c31, add);
}

function storeRow(c: usize, first: v128, second: v128, add: bool): void {
  if (add) {
    first = f32x4.add(v128.load(c), first);
    second = f32x4.add(v128.load(c, 16), second);
  }
  v128.store(c, first);
  v128.store(c, second, 16);
}

/** Copies what lies inside of the result from a tile that goes over its edge. */
function copyPart(tile: usize, c: usize, cStep: usize, down: i32, across: i32, add: bool): void {
  for (let i = 0; i < down; i++) {
    for (let j = 0; j < across; j++) {
      const value = load<f32>(tile + offset(j));
      const to = c + offset(j);
      store<f32>(to, add ? load<f32>(to) + value : value);
    }
    tile += TILE_COLUMNS * 4;
    c += cStep;
  }
}
