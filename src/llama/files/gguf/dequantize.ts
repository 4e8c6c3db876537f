/**
 * Blocks of quantized values as ggml lays them out (`ggml-common.h`), to float32: 32 values with a scale, or 256 with scales of
 * their own for each 16 or 32, which are quantized, too. A result is rounded once, as that of the `gguf` package of Python is,
 * since all products before are exact.
 */
import {float16} from '../../../files/half_precision';

/** Writes the values of the block at `from` to `to` and the places after it. */
export type Dequantize = (data: Uint8Array, from: number, values: Float32Array, to: number) => void;

/** A float16 of a block. */
function half(data: Uint8Array, at: number): number {
  return float16(data[at]! | (data[at + 1]! << 8));
}

/** A byte as a signed integer. */
function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** Blocks of 32 of which the first 16 values are low halves of bytes, and the others high ones. */
const HALF = 16;

export const q8_0: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  for (let i = 0; i < 2 * HALF; i++) values[to + i] = scale * signed(data[from + 2 + i]!);
};

export const q4_0: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  for (let i = 0; i < HALF; i++) {
    const byte = data[from + 2 + i]!;
    values[to + i] = scale * ((byte & 15) - 8);
    values[to + HALF + i] = scale * ((byte >> 4) - 8);
  }
};

export const q4_1: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  const least = half(data, from + 2);
  for (let i = 0; i < HALF; i++) {
    const byte = data[from + 4 + i]!;
    values[to + i] = scale * (byte & 15) + least;
    values[to + HALF + i] = scale * (byte >> 4) + least;
  }
};

/** 32 bits, the fifth bit of each value. */
function fifthBits(data: Uint8Array, at: number): number {
  return data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24);
}

export const q5_0: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  const bits = fifthBits(data, from + 2);
  for (let i = 0; i < HALF; i++) {
    const byte = data[from + 6 + i]!;
    values[to + i] = scale * (((byte & 15) | (((bits >>> i) & 1) << 4)) - 16);
    values[to + HALF + i] = scale * (((byte >> 4) | (((bits >>> (HALF + i)) & 1) << 4)) - 16);
  }
};

export const q5_1: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  const least = half(data, from + 2);
  const bits = fifthBits(data, from + 4);
  for (let i = 0; i < HALF; i++) {
    const byte = data[from + 8 + i]!;
    values[to + i] = scale * ((byte & 15) | (((bits >>> i) & 1) << 4)) + least;
    values[to + HALF + i] = scale * ((byte >> 4) | (((bits >>> (HALF + i)) & 1) << 4)) + least;
  }
};

/** The scale of 6 bits of a group of 32 values, of eight, in 12 bytes at `at`. */
function groupScale(data: Uint8Array, at: number, group: number): number {
  if (group < 4) return data[at + group]! & 63;
  return (data[at + 4 + group]! & 15) | ((data[at + group - 4]! >> 6) << 4);
}

/** The minimum of 6 bits, which is subtracted, in the same bytes. */
function groupMinimum(data: Uint8Array, at: number, group: number): number {
  if (group < 4) return data[at + 4 + group]! & 63;
  return (data[at + 4 + group]! >> 4) | ((data[at + group]! >> 6) << 4);
}

/** Eight groups of 32: two float16 at `from`, then 12 bytes of scales and minima. */
const GROUPS = 8;
const GROUP = 32;
const K_SCALES = 4;
const K_SCALES_END = 16;

export const q4_K: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  const least = half(data, from + 2);
  for (let group = 0; group < GROUPS; group++) {
    const step = scale * groupScale(data, from + K_SCALES, group);
    const minimum = least * groupMinimum(data, from + K_SCALES, group);
    const bytes = from + K_SCALES_END + (group >> 1) * GROUP;
    const shift = (group & 1) * 4;
    const first = to + group * GROUP;
    for (let i = 0; i < GROUP; i++) {
      values[first + i] = step * ((data[bytes + i]! >> shift) & 15) - minimum;
    }
  }
};

export const q5_K: Dequantize = (data, from, values, to) => {
  const scale = half(data, from);
  const least = half(data, from + 2);
  const fifth = from + K_SCALES_END;
  for (let group = 0; group < GROUPS; group++) {
    const step = scale * groupScale(data, from + K_SCALES, group);
    const minimum = least * groupMinimum(data, from + K_SCALES, group);
    const bytes = fifth + GROUP + (group >> 1) * GROUP;
    const shift = (group & 1) * 4;
    const first = to + group * GROUP;
    for (let i = 0; i < GROUP; i++) {
      const quant = ((data[bytes + i]! >> shift) & 15) | (((data[fifth + i]! >> group) & 1) << 4);
      values[first + i] = step * quant - minimum;
    }
  }
};

/** 128 bytes of low bits, 64 of high ones, 16 signed scales, and a float16. */
export const q6_K: Dequantize = (data, from, values, to) => {
  const scale = half(data, from + 208);
  for (let group = 0; group < GROUPS; group++) {
    // each half of the block has 64 bytes of low bits and 32 of high ones, for four groups
    const [part, place] = [group >> 2, group & 3];
    const low = from + part * 64 + (place & 1) * GROUP;
    const lowShift = (place >> 1) * 4;
    const high = from + 128 + part * GROUP;
    const highShift = place * 2;
    const first = to + group * GROUP;
    for (let i = 0; i < GROUP; i++) {
      const quant =
        ((data[low + i]! >> lowShift) & 15) | (((data[high + i]! >> highShift) & 3) << 4);
      const own = signed(data[from + 192 + group * 2 + (i >> 4)]!);
      values[first + i] = scale * own * (quant - 32);
    }
  }
};
