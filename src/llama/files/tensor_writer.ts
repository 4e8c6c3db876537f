import * as tf from '@tensorflow/tfjs-core';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';
import type {NamedWeight} from './weights';
import {encode, type FloatType} from '../../files/float_type';
import {show} from '../../files/json';
import {fromBfloat16} from '../../files/half_precision';
import {readsSynchronously} from '../../kernels/capabilities';
import {halvesOf} from '../../model/packed_matrix';
import {sourceOf, valuesOf} from '../../model/packed_weight';

/** Values that are encoded at a time. */
const CHUNK = 2 ** 20;
/** Bits of infinity in the 16-bit types. */
const INFINITY = {F16: 0x7c00, BF16: 0x7f80} as const;

/**
 * The bytes of a weight as Hugging Face stores it, piece by piece; a piece is valid until the next.
 *
 * @throws if a finite value is beyond the range of `dtype`.
 */
export async function* encodedPieces(
  owner: string,
  weight: NamedWeight,
  dtype: FloatType,
): AsyncGenerator<Uint8Array> {
  for await (const piece of valuePieces(weight)) {
    const bytes = encode(piece, dtype);
    if (dtype !== 'F32') checkRange(owner, weight.name, piece, bytes, dtype);
    yield bytes;
  }
}

/** The values of a weight as Hugging Face stores it, piece by piece: of a kernel whole rows, of others a multiple of 32 where a row is one. */
export async function* valuePieces({
  variable,
  transposed,
}: Omit<NamedWeight, 'name'>): AsyncGenerator<Float32Array> {
  for await (const stored of transposed ? columnsOf(variable) : rowsOf(variable)) {
    yield stored instanceof Uint16Array ? fromBfloat16(stored) : stored;
  }
}

/** Values, or bfloat16. */
type Numbers = Float32Array | Uint16Array;

async function* rowsOf(weight: LayerVariable): AsyncGenerator<Numbers> {
  const halves = await halvesOf(weight);
  // a device's shader might change subnormal numbers and NaN when it copies a part
  if (!halves && weight.shape.length === 2 && readsSynchronously()) {
    yield* readRows(sourceOf(weight) as tf.Tensor2D);
    return;
  }
  const values = halves ?? (await valuesOf(weight));
  for (let at = 0; at < values.length; at += CHUNK) yield values.subarray(at, at + CHUNK);
}

/** Some rows at a time, so that a large matrix is never there a second time. */
async function* readRows(matrix: tf.Tensor2D): AsyncGenerator<Float32Array> {
  const [rows, columns] = matrix.shape;
  const step = Math.max(1, Math.floor(CHUNK / columns));
  for (let from = 0; from < rows; from += step) {
    const piece = tf.slice(matrix, [from, 0], [Math.min(step, rows - from), columns]);
    try {
      yield await piece.data<'float32'>();
    } finally {
      piece.dispose();
    }
  }
}

async function* columnsOf(weight: LayerVariable): AsyncGenerator<Numbers> {
  const values = (await halvesOf(weight)) ?? (await valuesOf(weight));
  yield* transposedPieces(values, weight.shape as [number, number]);
}

/** The values of `[rows, columns]` in the order of `[columns, rows]`. */
function* transposedPieces(values: Numbers, [rows, columns]: [number, number]): Generator<Numbers> {
  const step = Math.max(1, Math.floor(CHUNK / rows));
  for (let first = 0; first < columns; first += step) {
    const part = [first, Math.min(step, columns - first)] as const;
    if (values instanceof Uint16Array) {
      const piece = new Uint16Array(part[1] * rows);
      placeColumns(values, [rows, columns], part, piece);
      yield piece;
    } else {
      // as bits: to copy a float may change the bits of a NaN
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const piece = new Uint32Array(part[1] * rows);
      placeColumns(bits, [rows, columns], part, piece);
      yield new Float32Array(piece.buffer);
    }
  }
}

/** Writes `count` columns from `first` on, one after the other, to `target`. */
function placeColumns<T extends Uint16Array | Uint32Array>(
  source: T,
  [rows, columns]: [number, number],
  [first, count]: readonly [first: number, count: number],
  target: T,
): void {
  for (let row = 0; row < rows; row++) {
    const start = row * columns + first;
    for (let i = 0; i < count; i++) target[i * rows + row] = source[start + i]!;
  }
}

function checkRange(
  owner: string,
  name: string,
  values: Float32Array,
  bytes: Uint8Array,
  dtype: 'F16' | 'BF16',
): void {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  for (let i = 0; i < halves.length; i++) {
    if ((halves[i]! & 0x7fff) !== INFINITY[dtype] || !Number.isFinite(values[i])) continue;
    throw new Error(
      `${owner}: tensor ${show(name)} has the value ${values[i]}, which would be infinite as ` +
        `${dtype}; use ${dtype === 'F16' ? "dtype 'BF16' or 'F32'" : "dtype 'F32'"}`,
    );
  }
}
