/**
 * Products of float32 matrices by register tiles over packed panels (Goto & van de Geijn 2008).
 *
 * Both factors are copied, some of the inner dimension at a time, into panels in the order in which
 * the innermost loop reads them. The copy also handles transpositions and odd sizes, so that one loop
 * is enough for all cases.
 */
import {PACK_SLACK, packLeft, packRight} from './pack';
import {multiplyRows, placeRowScratch, ROW_SCRATCH, sumSections} from './row';
import {multiplyRowsTransposed} from './row_transposed';
import {multiplyPanels, TILE_BYTES, TILE_COLUMNS} from './tile';
import {offset} from './vector';

/** Part of the inner dimension that is worked on at a time: two panels of it stay in the L1 cache. */
const BLOCK_INNER: i32 = 352;
/**
 * Rows of the left factor that are packed at a time: they stay in the L2 cache. Rows and columns are
 * multiples of the size of both kinds of tiles.
 */
const BLOCK_ROWS: i32 = 120;
/** Columns of the right factor that are packed at a time. */
const BLOCK_COLUMNS: i32 = 696;

/** Up to this many rows the right factor is read in place: packing it would take longer. */
const FEW_ROWS: i32 = 8;

const PACKED_LEFT_BYTES: usize = PACK_SLACK + BLOCK_ROWS * BLOCK_INNER * 4;
const PACKED_RIGHT_BYTES: usize = BLOCK_COLUMNS * BLOCK_INNER * 4;

/** Bytes of memory that `multiply` needs to work in. */
export const MULTIPLY_SCRATCH: usize =
  TILE_BYTES + PACKED_LEFT_BYTES + PACKED_RIGHT_BYTES + ROW_SCRATCH;

let scratch: usize = 0;

/** Gives `multiply` the memory to work in. */
export function placeScratch(at: usize): void {
  scratch = at;
  const packed = at + TILE_BYTES;
  const packedBytes = PACKED_LEFT_BYTES + PACKED_RIGHT_BYTES;
  // products of few rows pack nothing
  placeRowScratch(packed + packedBytes, packed, packedBytes);
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
  if (rows <= FEW_ROWS) {
    const aRow: usize = transposeA ? 4 : aStep;
    const aNext: usize = transposeA ? aStep : 4;
    if (!transposeB) {
      multiplyRows<f32>(rows, columns, inner, a, aRow, aNext, b, bStep, c, cStep, add);
      return;
    }
    if (aNext == 4) {
      multiplyRowsTransposed<f32>(rows, columns, inner, a, aRow, b, bStep, c, cStep, add);
      return;
    }
  }
  const edge = scratch;
  const left = edge + TILE_BYTES;
  const right = left + PACKED_LEFT_BYTES;

  for (let column = 0; column < columns; column += BLOCK_COLUMNS) {
    const width = min(columns - column, BLOCK_COLUMNS);
    for (let depth = 0; depth < inner; depth += BLOCK_INNER) {
      const length = min(inner - depth, BLOCK_INNER);
      const bBlock = address(b, bStep, transposeB, depth, column);
      packRight(right, bBlock, bStep, transposeB, width, length);

      for (let row = 0; row < rows; row += BLOCK_ROWS) {
        const height = min(rows - row, BLOCK_ROWS);
        packLeft(
          left,
          address(a, aStep, transposeA, row, depth),
          aStep,
          transposeA,
          height,
          length,
        );
        const cBlock = address(c, cStep, false, row, column);
        const addTo = add || depth > 0;
        multiplyPanels(
          height,
          width,
          length,
          left,
          right,
          offset(TILE_COLUMNS * length),
          TILE_COLUMNS * 4,
          cBlock,
          cStep,
          addTo,
          edge,
        );
      }
    }
  }
}

/**
 * `c = a · b`, or `c += a · b`, for `a` `[rows, inner]` without gaps and `c` `[rows, columns]` of float32, and `b` `[inner, columns]`
 * (in memory `[columns, inner]` if transposed) of bfloat16. Steps are the bytes from one row in memory to the next. The results are
 * those of `multiply` of few rows with the same numbers as float32.
 */
export function multiplyBfloat16(
  rows: i32,
  columns: i32,
  inner: i32,
  a: usize,
  b: usize,
  bStep: usize,
  transposeB: bool,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  const aRow = offset(inner);
  if (transposeB)
    multiplyRowsTransposed<u16>(rows, columns, inner, a, aRow, b, bStep, c, cStep, add);
  else multiplyRows<u16>(rows, columns, inner, a, aRow, 4, b, bStep, c, cStep, add);
}

/**
 * Of `a · b` as in `multiply`, of few rows, and `b` not transposed, or as in `multiplyBfloat16`: the sums of `count` of its sections, from
 * the section `first` on, to their places in `sums` `[SECTIONS, rows, columns]`.
 */
export function multiplySections(
  first: i32,
  count: i32,
  rows: i32,
  columns: i32,
  inner: i32,
  a: usize,
  aRow: usize,
  aNext: usize,
  b: usize,
  bStep: usize,
  isBfloat16: bool,
  sums: usize,
): void {
  if (isBfloat16)
    sumSections<u16>(first, count, rows, columns, inner, a, aRow, aNext, b, bStep, sums);
  else sumSections<f32>(first, count, rows, columns, inner, a, aRow, aNext, b, bStep, sums);
}

/** Where the element `[row, column]` of a matrix is, after the transposition. */
function address(matrix: usize, step: usize, transposed: bool, row: i32, column: i32): usize {
  return transposed
    ? matrix + <usize>column * step + offset(row)
    : matrix + <usize>row * step + offset(column);
}
