import {multiplyAdd, offset} from './vector';

/** Rows and columns of the tile of a product that stays in registers. */
export const TILE_ROWS: i32 = 4;
export const TILE_COLUMNS: i32 = 8;

/** Bytes of a tile. */
export const TILE_BYTES: usize = TILE_ROWS * TILE_COLUMNS * 4;

/**
 * `c = a · b`, or `c += a · b`, for `a` `[rows, length]` in packed panels and `b` `[length, columns]`
 * in panels of `TILE_COLUMNS` columns: `panelStep` is the bytes from one to the next, `bStep` those
 * from one of its rows to the next.
 *
 * @param edge `TILE_BYTES` of memory.
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
