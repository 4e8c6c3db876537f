/** How a GGUF file stores the values of a tensor: as floats, or in blocks that share a scale. */
import {BYTES, decode, encode, type FloatType} from '../../../files/float_type';
import {q4_0, q4_1, q4_K, q5_0, q5_1, q5_K, q6_K, q8_0, type Dequantize} from './dequantize';
import {quantizeQ8_0} from './quantize';

/** A type of tensor that can be read. */
export interface TensorType {
  name: string;
  /** Values in a block; a row has whole blocks. */
  blockValues: number;
  /** Bytes of a block. */
  blockBytes: number;
  /** The values of whole blocks, as new memory. */
  decode(blocks: Uint8Array): Float32Array;
}

function quantized(
  name: string,
  blockValues: number,
  blockBytes: number,
  dequantize: Dequantize,
): TensorType {
  return {
    name,
    blockValues,
    blockBytes,
    decode(blocks) {
      const count = blocks.length / blockBytes;
      const values = new Float32Array(count * blockValues);
      for (let i = 0; i < count; i++) dequantize(blocks, i * blockBytes, values, i * blockValues);
      return values;
    },
  };
}

/** A type of tensor that can be written, too. */
export interface WritableType extends TensorType {
  /** Its number in ggml. */
  id: number;
  /** Magnitudes from here on would be infinite. */
  limit: number;
  /** The blocks of whole blocks of values, which may share their memory. */
  encode(values: Float32Array): Uint8Array;
}

function float(id: number, name: FloatType, limit: number): WritableType {
  return {
    ...{id, name, limit, blockValues: 1, blockBytes: BYTES[name]},
    decode: (data) => decode(data, name),
    encode: (values) => encode(values, name),
  };
}

/** Halfway between the largest float16 and the next power of two. */
const HALF_LIMIT = 65520;

/** The types in which models are written. */
export const writableTypes = {
  F32: float(0, 'F32', Infinity),
  F16: float(1, 'F16', HALF_LIMIT),
  BF16: float(30, 'BF16', (2 - 2 ** -8) * 2 ** 127),
  // its scale is a float16
  Q8_0: {id: 8, limit: HALF_LIMIT * 127, ...quantized('Q8_0', 32, 34, q8_0), encode: quantizeQ8_0},
} as const satisfies Record<string, WritableType>;

/** The types by their numbers in ggml. */
const types: ReadonlyMap<number, TensorType> = new Map<number, TensorType>([
  ...Object.values(writableTypes).map((type) => [type.id, type] as const),
  [2, quantized('Q4_0', 32, 18, q4_0)],
  [3, quantized('Q4_1', 32, 20, q4_1)],
  [6, quantized('Q5_0', 32, 22, q5_0)],
  [7, quantized('Q5_1', 32, 24, q5_1)],
  [12, quantized('Q4_K', 256, 144, q4_K)],
  [13, quantized('Q5_K', 256, 176, q5_K)],
  [14, quantized('Q6_K', 256, 210, q6_K)],
]);

/** Names of the types that cannot be read. */
const otherNames: Readonly<Record<number, string>> = {
  ...{9: 'Q8_1', 10: 'Q2_K', 11: 'Q3_K', 15: 'Q8_K', 16: 'IQ2_XXS', 17: 'IQ2_XS', 18: 'IQ3_XXS'},
  ...{19: 'IQ1_S', 20: 'IQ4_NL', 21: 'IQ3_S', 22: 'IQ2_S', 23: 'IQ4_XS', 24: 'I8', 25: 'I16'},
  ...{26: 'I32', 27: 'I64', 28: 'F64', 29: 'IQ1_M', 34: 'TQ1_0', 35: 'TQ2_0', 39: 'MXFP4'},
  ...{40: 'NVFP4', 41: 'Q1_0'},
};

export const tensorTypeNames = [...types.values()].map(({name}) => name);

/** The type with a number; undefined if it cannot be read. */
export function tensorType(id: number): TensorType | undefined {
  return types.get(id);
}

/** What a message calls a type that cannot be read. */
export function otherTypeName(id: number): string {
  return otherNames[id] ?? `number ${id}`;
}
