import type {StoredTensor} from './checkpoint';
import {BYTES, decode, type FloatType} from '../../files/float_type';
import {toBfloat16} from '../../files/half_precision';
import {elements} from '../../files/safetensors_header';
import {exactHalves} from '../../model/rounding';
import {valueArray} from './value_memory';

/** Bytes read at a time: so much of a file is in memory beside the values that have been read. */
const CHUNK_BYTES = 2 ** 22;

/** Some consecutive values of a tensor. */
interface Piece {
  values: Float32Array;
  /** Index in the tensor of the piece's first value. */
  index: number;
}

/** The values of a tensor, some rows (of the last axis) at a time. */
export async function* readPieces(tensor: StoredTensor): AsyncGenerator<Piece> {
  for await (const {data, index} of readBytes(tensor)) {
    yield {values: decode(data, tensor.dtype), index};
  }
}

/** The same as the file has them. */
async function* readBytes(
  tensor: StoredTensor,
): AsyncGenerator<Pick<Piece, 'index'> & {data: Uint8Array}> {
  const {file, dtype, shape, from, to} = tensor;
  const bytes = BYTES[dtype];
  const row = Math.max(1, shape.at(-1) ?? 1) * bytes;
  const step = row * Math.max(1, Math.floor(CHUNK_BYTES / row));
  for (let at = from; at < to; at += step) {
    yield {data: await file.read(at, Math.min(at + step, to)), index: (at - from) / bytes};
  }
}

/** The values of a tensor, in a {@link valueArray}; with `transposed`, of the transposed matrix. */
export async function readValues(tensor: StoredTensor, transposed: boolean): Promise<Float32Array> {
  const values = valueArray(elements(tensor.shape));
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for await (const {data, index} of readBytes(tensor)) {
    place(bitsIn(data, tensor.dtype), index, bits, tensor.shape, transposed);
  }
  return values;
}

/** Values as the bits of float32: to copy a float may change the bits of a NaN. */
function bitsIn(data: Uint8Array, dtype: FloatType): Uint32Array {
  const {buffer, byteOffset, byteLength} = data;
  const isThere = dtype === 'F32' && byteOffset % BYTES.F32 === 0;
  return isThere
    ? new Uint32Array(buffer, byteOffset, byteLength / BYTES.F32)
    : new Uint32Array(decode(data, dtype).buffer);
}

/**
 * The same as bfloat16: the file's bits if it has them, else rounded to the nearest. They are at the start of a {@link valueArray}. Null if
 * a finite value would become infinite.
 */
export async function readHalves(
  tensor: StoredTensor,
  transposed: boolean,
): Promise<Uint16Array | null> {
  const count = elements(tensor.shape);
  const {buffer, byteOffset} = valueArray(Math.ceil(count / 2));
  const halves = new Uint16Array(buffer, byteOffset, count);
  for await (const {data, index} of readBytes(tensor)) {
    const piece = halvesIn(data, tensor.dtype);
    if (!piece) return null;
    place(piece, index, halves, tensor.shape, transposed);
  }
  return halves;
}

function halvesIn(data: Uint8Array, dtype: FloatType): Uint16Array | null {
  // copied, as `decode` does
  if (dtype === 'BF16') return new Uint16Array(new Uint8Array(data).buffer);
  const values = decode(data, dtype);
  const halves = exactHalves(values) ?? toBfloat16(values);
  const isTooLarge = halves.some(
    (half, i) => (half & 0x7fff) === 0x7f80 && Number.isFinite(values[i]),
  );
  return isTooLarge ? null : halves;
}

/** Columns that are transposed together: their places in the target are far from each other. */
const TILE = 16;

/** Writes whole rows, the first value being the one at `index`, to their place in a tensor or in the transposed matrix. */
function place<T extends Uint16Array | Uint32Array>(
  piece: T,
  index: number,
  target: T,
  shape: readonly number[],
  transposed: boolean,
): void {
  if (!transposed) {
    target.set(piece, index);
    return;
  }
  const [rows, columns] = shape as [number, number];
  const firstRow = index / columns;
  const count = piece.length / columns;
  for (let first = 0; first < columns; first += TILE) {
    const end = Math.min(first + TILE, columns);
    for (let row = 0; row < count; row++) {
      for (let column = first; column < end; column++) {
        target[column * rows + firstRow + row] = piece[row * columns + column]!;
      }
    }
  }
}

/**
 * Whether two tensors of the same shape have the same values; a NaN equals nothing. If both are in a file that is streamed, the
 * earlier one is in memory as a whole meanwhile.
 */
export async function haveEqualValues(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  const [first, second] = a.from < b.from ? [a, b] : [b, a];
  const isStreamed = a.file === b.file && a.file.isStreamed === true;
  const others = isStreamed ? wholeOf(first) : readPieces(first);
  const nextValues = async (): Promise<Float32Array> => {
    const {value} = (await others.next()) as {value?: Piece};
    return value?.values ?? new Float32Array();
  };
  // before the first piece of the other one, which is behind it
  let other = await nextValues();
  let at = 0;
  for await (const {values} of readPieces(second)) {
    for (let i = 0; i < values.length; i++, at++) {
      if (at === other.length) {
        other = await nextValues();
        at = 0;
      }
      if (values[i] !== other[at]) return false;
    }
  }
  return true;
}

async function* wholeOf(tensor: StoredTensor): AsyncGenerator<Piece> {
  const values = new Float32Array(elements(tensor.shape));
  for await (const piece of readPieces(tensor)) values.set(piece.values, piece.index);
  yield {values, index: 0};
}
