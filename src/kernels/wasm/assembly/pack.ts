import {TILE_COLUMNS, TILE_ROWS} from './tile';
import {loadUpTo, offset, storeUpTo} from './vector';

/**
 * Packs a left factor `[rows, length]` (in memory `[length, rows]` if transposed) into panels of
 * `TILE_ROWS` rows, in which the numbers of one column lie side by side.
 */
export function packLeft(
  panels: usize,
  a: usize,
  step: usize,
  transposed: bool,
  rows: i32,
  length: i32,
): void {
  pack(panels, a, step, !transposed, rows, length, TILE_ROWS);
}

/**
 * Packs a right factor `[length, columns]` (in memory `[columns, length]` if transposed) into panels
 * of `TILE_COLUMNS` columns, in which the numbers of one row lie side by side.
 */
export function packRight(
  panels: usize,
  b: usize,
  step: usize,
  transposed: bool,
  columns: i32,
  length: i32,
): void {
  pack(panels, b, step, transposed, columns, length, TILE_COLUMNS);
}

/** `lines` rounded up to a multiple of `width`. */
export function filledUp(lines: i32, width: i32): i32 {
  return ((lines + width - 1) / width) * width;
}

/** Bytes after the panels that may be overwritten. */
export const PACK_SLACK: usize = 16;

/**
 * Copies `lines` lines of `length` numbers into panels of `width` lines each, in which the numbers
 * that the lines have at one position lie side by side. The last panel is filled up with lines whose
 * products are thrown away. Four numbers are stored at a time: where a panel has three lines, the fourth
 * number is overwritten at the next position.
 *
 * @param along Whether a line lies along a row in memory; else it lies down a column.
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
  const panelBytes = offset(width * length);
  let line = 0;
  if (along) {
    for (; line < lines; line += width) {
      for (let group = 0; group < width; group += 4) {
        const first = line + group;
        packFour(panels + offset(group), offset(width), source, step, first, lines - 1, length);
      }
      panels += panelBytes;
    }
    return;
  }
  // for a panel of three lines a fourth number is read, which must exist
  const together = width > 8 ? 0 : 4 * min(width, 4);
  for (; together > 0 && line + together < lines; line += together) {
    packSideBySide(panels, source + offset(line), step, length, width);
    panels += panelBytes * (together / width);
  }
  for (; line < lines; line += width) {
    packColumns(panels, source + offset(line), step, min(lines - line, width), length, width);
    panels += panelBytes;
  }
}

/** Packs four lines that lie along rows; lines after `last` are replaced by `last`. */
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
    let x = v128.load32_zero(p0);
    x = v128.load_lane<f32>(p1, x, 1);
    x = v128.load_lane<f32>(p2, x, 2);
    v128.store(to, v128.load_lane<f32>(p3, x, 3));
    to += toStep;
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
  }
}

/**
 * Packs four vectors side by side, about a cache line, into the two or four panels that they belong to. A fourth number at the
 * end of a panel must not be stored: it would overwrite the first number of the next panel, which is already there.
 */
function packSideBySide(panels: usize, source: usize, step: usize, length: i32, width: i32): void {
  const row = offset(width);
  const panelBytes = row * <usize>length;
  const vector = offset(min(width, 4));
  const second = width > 4 ? vector : panelBytes;
  const third = width > 4 ? panelBytes : 2 * panelBytes;
  const last = width < 4 ? length - 1 : length;
  for (let i = 0; i < last; i++) {
    v128.store(panels, v128.load(source));
    v128.store(panels + second, v128.load(source + vector));
    v128.store(panels + third, v128.load(source + 2 * vector));
    v128.store(panels + third + second, v128.load(source + 3 * vector));
    panels += row;
    source += step;
  }
  for (let panel = 0; last < length && panel < 4; panel++) {
    storeUpTo(panels, v128.load(source), width);
    panels += panelBytes;
    source += vector;
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
  const isWhole = present == width && width >= 4;
  for (let i = 0; i < length; i++) {
    if (isWhole) {
      for (let j = 0; j < width; j += 4) v128.store(to + offset(j), v128.load(source + offset(j)));
    } else {
      for (let j = 0; j < width; j += 4) {
        const left = present - j;
        v128.store(to + offset(j), left > 0 ? loadUpTo(source + offset(j), left) : f32x4.splat(0));
      }
    }
    to += offset(width);
    source += step;
  }
}
