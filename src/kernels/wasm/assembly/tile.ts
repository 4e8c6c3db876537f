import {loadUpTo, multiplyAdd, offset, storeUpTo} from './vector';

/**
 * Rows and columns of the tile of a product that stays in registers. V8 has fifteen registers on x64, and
 * loads all factors of an iteration before the first product. 8 sums, 2 + 4 factors and a product
 * fit; or, where multiplication and addition are one instruction, 9 sums and 3 + 3 factors. That is enough
 * for no addition to wait for the one before.
 */
export const TILE_ROWS: i32 = ASC_FEATURE_RELAXED_SIMD ? 3 : 4;
export const TILE_COLUMNS: i32 = ASC_FEATURE_RELAXED_SIMD ? 12 : 8;

/** Bytes of a tile. */
export const TILE_BYTES: usize = TILE_ROWS * TILE_COLUMNS * 4;

/**
 * `c = a · b`, or `c += a · b`, for `a` `[rows, length]` in packed panels and `b` `[length, columns]`
 * in panels of `TILE_COLUMNS` columns. `panelStep` is the number of bytes from one panel to the next,
 * `bStep` that from one row of a panel to the next.
 *
 * @param edge `TILE_BYTES` of memory, for tiles that extend beyond the edge of `c`.
 */
export function multiplyPanels(
  rows: i32,
  columns: i32,
  length: i32,
  a: usize,
  b: usize,
  panelStep: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
  edge: usize,
): void {
  for (let j = 0; j < columns; j += TILE_COLUMNS) {
    const across = columns - j;
    let aPanel = a;
    let cTile = c;
    for (let i = 0; i < rows; i += TILE_ROWS) {
      const down = rows - i;
      if (down >= TILE_ROWS && across >= TILE_COLUMNS) {
        multiplyTile(length, aPanel, b, bStep, cTile, cStep, add);
      } else {
        multiplyTile(length, aPanel, b, bStep, edge, TILE_COLUMNS * 4, false);
        copyPart(edge, cTile, cStep, min(down, TILE_ROWS), min(across, TILE_COLUMNS), add);
      }
      aPanel += offset(TILE_ROWS * length);
      cTile += cStep * <usize>TILE_ROWS;
    }
    b += panelStep;
    c += TILE_COLUMNS * 4;
  }
}

/** One tile of the result: a panel of the left factor times one of the right factor, `length` ≥ 1. */
function multiplyTile(
  length: i32,
  a: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  const end = a + offset(length * TILE_ROWS);
  if (ASC_FEATURE_RELAXED_SIMD) multiply3x12(a, end, b, bStep, c, cStep, add);
  else multiply4x8(a, end, b, bStep, c, cStep, add);
}

function multiply4x8(
  a: usize,
  end: usize,
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
  // four steps per iteration, because V8 checks for an interrupt in each iteration
  while (true) {
    {
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
      a += 16;
      b += bStep;
      if (a == end) break;
    }
    {
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
      a += 16;
      b += bStep;
      if (a == end) break;
    }
    {
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
      a += 16;
      b += bStep;
      if (a == end) break;
    }
    {
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
      a += 16;
      b += bStep;
      if (a == end) break;
    }
  }
  storeSum(c, c00, add);
  storeSum(c + 16, c01, add);
  c += cStep;
  storeSum(c, c10, add);
  storeSum(c + 16, c11, add);
  c += cStep;
  storeSum(c, c20, add);
  storeSum(c + 16, c21, add);
  c += cStep;
  storeSum(c, c30, add);
  storeSum(c + 16, c31, add);
}

function multiply3x12(
  a: usize,
  end: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c02 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c12 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c22 = f32x4.splat(0);
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const a0 = v128.load32_splat(a);
    c00 = multiplyAdd(a0, b0, c00);
    c01 = multiplyAdd(a0, b1, c01);
    c02 = multiplyAdd(a0, b2, c02);
    const a1 = v128.load32_splat(a, 4);
    c10 = multiplyAdd(a1, b0, c10);
    c11 = multiplyAdd(a1, b1, c11);
    c12 = multiplyAdd(a1, b2, c12);
    const a2 = v128.load32_splat(a, 8);
    c20 = multiplyAdd(a2, b0, c20);
    c21 = multiplyAdd(a2, b1, c21);
    c22 = multiplyAdd(a2, b2, c22);
    a += 12;
    b += bStep;
  } while (a != end);
  storeSum(c, c00, add);
  storeSum(c + 16, c01, add);
  storeSum(c + 32, c02, add);
  c += cStep;
  storeSum(c, c10, add);
  storeSum(c + 16, c11, add);
  storeSum(c + 32, c12, add);
  c += cStep;
  storeSum(c, c20, add);
  storeSum(c + 16, c21, add);
  storeSum(c + 32, c22, add);
}

function storeSum(c: usize, sum: v128, add: bool): void {
  v128.store(c, add ? f32x4.add(v128.load(c), sum) : sum);
}

/** Copies the part inside the result from a tile that extends over its edge. */
function copyPart(tile: usize, c: usize, cStep: usize, down: i32, across: i32, add: bool): void {
  for (let i = 0; i < down; i++) {
    for (let j = 0; j < across; j += 4) {
      const left = across - j;
      const to = c + offset(j);
      const part = v128.load(tile + offset(j));
      storeUpTo(to, add ? f32x4.add(loadUpTo(to, left), part) : part, left);
    }
    tile += TILE_COLUMNS * 4;
    c += cStep;
  }
}
