/**
 * The two 16-bit floats, as bits: float16 (IEEE 754 binary16) and bfloat16, the upper half of a
 * float32. All functions take and return bit patterns, so that only rounding can change a value.
 */

/** The float32 of each of the 65536 float16. */
let widened: Float32Array | undefined;

/** float16 to float32, exactly. */
export function fromFloat16(halves: Uint16Array): Float32Array {
  widened ??= widenAll();
  // as bits: to copy a float may change the bits of a NaN
  const words = new Uint32Array(widened.buffer);
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = words[halves[i]!]!;
  return new Float32Array(bits.buffer);
}

/** The number that the bits of a float16 stand for, by a table. */
export function float16(half: number): number {
  widened ??= widenAll();
  return widened[half]!;
}

/** bfloat16 to float32, exactly. */
export function fromBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

/**
 * float32 to the nearest float16, ties to even. From 65520 on, halfway between the largest float16
 * and the next power of two, it is infinity; NaN stays NaN.
 */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) halves[i] = roundToFloat16(bits[i]!, values[i]!);
  return halves;
}

/** float32 to the nearest bfloat16, ties to even; NaN stays NaN. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    const lastKeptBit = (word >>> 16) & 1;
    halves[i] = isNaN ? 0x7fc0 : (word + 0x7fff + lastKeptBit) >>> 16;
  }
  return halves;
}

function roundToFloat16(word: number, value: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2⁻¹⁴ float16 are multiples of 2⁻²⁴, like float32 from 1/2 to 1: so adding 1/2 rounds to them.
    return sign | ((Math.fround(Math.abs(value) + 0.5) - 0.5) * 2 ** 24);
  }
  const lastKeptBit = (magnitude >>> 13) & 1;
  // The exponent counts from −127 in float32 and from −15 in float16.
  return sign | ((magnitude + 0xfff + lastKeptBit - (112 << 23)) >>> 13);
}

function widenAll(): Float32Array {
  return Float32Array.from({length: 2 ** 16}, (_, i) => numberOf(i));
}

/** The number that the bits of a float16 stand for. */
function numberOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
