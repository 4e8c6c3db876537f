import {fromBfloat16, fromFloat16, toBfloat16, toFloat16} from './half_precision';

/** How a safetensors file stores float values. */
export type FloatType = 'F32' | 'F16' | 'BF16';

/** Bytes of a value. */
export const BYTES: Readonly<Record<FloatType, number>> = {F32: 4, F16: 2, BF16: 2};

export const floatTypes = Object.keys(BYTES) as readonly FloatType[];

export function isFloatType(value: unknown): value is FloatType {
  return typeof value === 'string' && Object.hasOwn(BYTES, value);
}

/** The values that little-endian bytes stand for, as new memory. */
export function decode(data: Uint8Array, dtype: FloatType): Float32Array {
  // copied so that it starts at a multiple of a value's bytes; `slice` of a Node Buffer would not copy
  const {buffer} = new Uint8Array(data);
  if (dtype === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  return dtype === 'F16' ? fromFloat16(halves) : fromBfloat16(halves);
}

/** The bytes of values, each rounded to the nearest of the type, ties to even. F32 is not copied. */
export function encode(values: Float32Array, dtype: FloatType): Uint8Array {
  const array = dtype === 'F32' ? values : dtype === 'F16' ? toFloat16(values) : toBfloat16(values);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
