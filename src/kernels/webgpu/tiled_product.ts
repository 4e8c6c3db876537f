/** Rows and columns of the output that one workgroup computes. */
export type Tile = 32 | 64;

/** Length of the pieces of the inner axis that are in workgroup memory at a time. */
const INNER = 16;

/** Large tiles read less memory; small ones keep more of the device busy where there would be few tiles. */
export function chooseTile(rows: number, columns: number): Tile {
  return Math.ceil(rows / 64) * Math.ceil(columns / 64) >= 64 ? 64 : 32;
}

/** How many threads compute `rows`×`columns` numbers; `parts` is the number of workgroups along z. */
export function tileGrid(
  tile: Tile,
  rows: number,
  columns: number,
  parts = 1,
): {workgroupSize: [number, number, number]; workgroups: [number, number, number]} {
  return {
    workgroupSize: [tile / 4, tile / 4, 1],
    workgroups: [Math.ceil(columns / tile), Math.ceil(rows / tile), parts],
  };
}

/**
 * WGSL: `main` of a matrix product AB. A thread computes 4×4 numbers, from two vectors in workgroup memory at each step along
 * the inner axis. The operands come from functions, so that they can be computed while they are read:
 *
 * - `readA(row : i32, k : i32) -> vec4<f32>`: rows row … row + 3 of A at inner place k
 * - `readB(k : i32, column : i32) -> vec4<f32>`: columns column … column + 3 of B
 * - `write(row : i32, column : i32, sum : vec4<f32>)`: takes columns column … column + 3 of the product
 * - `innerLength() -> i32`: steps along the inner axis, the same for all threads
 *
 * They are also called with places beyond the last row, column and step: there the first two must return 0, and `write` must do
 * nothing.
 *
 * @param order The axis along which neighbours in an operand are neighbours in memory: neighbouring threads read along it.
 */
export function tiledProduct(
  tile: Tile,
  order: {a: 'rows' | 'inner'; b: 'columns' | 'inner'},
): string {
  const quads = tile / 4;
  const threads = quads * quads;
  // A row has one vector more than it needs, so that threads that write along k use different memory banks.
  const width = quads + 1;
  const fill = (name: string, neighbours: string, read: string): string => `
    for (var i = i32(localIndex); i < ${INNER * quads}; i += ${threads}) {
      ${
        neighbours === 'inner'
          ? `let k = i % ${INNER}; let quad = i / ${INNER};`
          : `let k = i / ${quads}; let quad = i % ${quads};`
      }
      ${name}[k * ${width} + quad] = ${read};
    }`;
  return `
    var<workgroup> tileA : array<vec4<f32>, ${INNER * width}>;
    var<workgroup> tileB : array<vec4<f32>, ${INNER * width}>;

    fn main() {
      let firstRow = i32(workgroupId.y) * ${tile};
      let firstColumn = i32(workgroupId.x) * ${tile};
      let threadRow = i32(localId.y);
      let threadColumn = i32(localId.x);
      var sum0 = vec4<f32>(0.0);
      var sum1 = vec4<f32>(0.0);
      var sum2 = vec4<f32>(0.0);
      var sum3 = vec4<f32>(0.0);
      for (var start = 0; start < innerLength(); start += ${INNER}) {
        ${fill('tileA', order.a, 'readA(firstRow + 4 * quad, start + k)')}
        ${fill('tileB', order.b, 'readB(start + k, firstColumn + 4 * quad)')}
        workgroupBarrier();
        for (var k = 0; k < ${INNER}; k++) {
          let a = tileA[k * ${width} + threadRow];
          let b = tileB[k * ${width} + threadColumn];
          sum0 = fma(vec4<f32>(a.x), b, sum0);
          sum1 = fma(vec4<f32>(a.y), b, sum1);
          sum2 = fma(vec4<f32>(a.z), b, sum2);
          sum3 = fma(vec4<f32>(a.w), b, sum3);
        }
        workgroupBarrier();
      }
      let row = firstRow + 4 * threadRow;
      let column = firstColumn + 4 * threadColumn;
      write(row, column, sum0);
      write(row + 1, column, sum1);
      write(row + 2, column, sum2);
      write(row + 3, column, sum3);
    }`;
}

/** A matrix in a flat array; the sizes are WGSL. */
export interface Matrix {
  lines: string;
  /** Numbers in a line. */
  length: string;
}

/**
 * WGSL: `name(line : i32, place : i32) -> vec4<f32>`, four neighbouring numbers of a line. Each is read by
 * `element(index : i32)`, or all at once if an element has four numbers; 0 beyond the end of the matrix.
 */
export function readAlong(
  name: string,
  {lines, length}: Matrix,
  element: string,
  components: 1 | 4 = 1,
): string {
  if (components === 4) {
    return `
      fn ${name}(line : i32, place : i32) -> vec4<f32> {
        if (line >= ${lines} || place >= ${length}) { return vec4<f32>(0.0); }
        return ${element}((line * ${length} + place) / 4);
      }`;
  }
  return `
    fn ${name}(line : i32, place : i32) -> vec4<f32> {
      var values = vec4<f32>(0.0);
      if (line >= ${lines}) { return values; }
      for (var i = 0; i < 4 && place + i < ${length}; i++) {
        values[i] = ${element}(line * ${length} + place + i);
      }
      return values;
    }`;
}

/** WGSL: `name(line : i32, place : i32) -> vec4<f32>`, the numbers at one place of four lines. */
export function readAcross(name: string, {lines, length}: Matrix, element: string): string {
  return `
    fn ${name}(line : i32, place : i32) -> vec4<f32> {
      var values = vec4<f32>(0.0);
      if (place >= ${length}) { return values; }
      for (var i = 0; i < 4 && line + i < ${lines}; i++) {
        values[i] = ${element}((line + i) * ${length} + place);
      }
      return values;
    }`;
}

/**
 * WGSL: `write` for an output of these sizes that begins at element `start`. Each number is the result of
 * `finish(index : i32, sum : …)` for the product's number.
 */
export function writeAlong({lines, length}: Matrix, components: 1 | 4 = 1, start = '0'): string {
  const store =
    components === 4
      ? `let index = (${start} + row * ${length} + column) / 4;
         result[index] = finish(index, sum);`
      : `for (var i = 0; i < 4 && column + i < ${length}; i++) {
           let index = ${start} + row * ${length} + column + i;
           result[index] = finish(index, sum[i]);
         }`;
  return `
    fn write(row : i32, column : i32, sum : vec4<f32>) {
      if (row >= ${lines} || column >= ${length}) { return; }
      ${store}
    }`;
}
