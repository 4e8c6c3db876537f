/** All exponent bits, set in infinity and NaN alone; and the bit that makes a NaN quiet. */
const [INFINITE, QUIET] = [0x7f80, 0x40];

/**
 * float32 to bfloat16 at random: to one of the two neighbours, to each with the probability that makes the mean the number itself
 * (stochastic rounding, Gupta et al. 2015). A number that is a bfloat16 stays as it is, and so does NaN; none becomes infinite.
 *
 * @param seed An integer in [0, 2³² − 1], which determines the result.
 */
export function roundStochastically(values: Float32Array, seed: number): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const half = word >>> 16;
    const rest = word & 0xffff;
    if (rest === 0) halves[i] = half;
    else if ((half & INFINITE) === INFINITE) halves[i] = half | QUIET;
    else {
      // The fraction `rest` / 2¹⁶ of all 16-bit numbers carries into the upper half.
      const rounded = half + ((rest + (noise(i, seed) >>> 16)) >>> 16);
      halves[i] = (rounded & INFINITE) === INFINITE ? half : rounded;
    }
  }
  return halves;
}

/**
 * 32 random bits for place `i`: a counter that is mixed until each bit depends on all (the constants are those of Wellons'
 * `lowbias32`).
 */
function noise(i: number, seed: number): number {
  let x = Math.imul(i, 0x9e3779b9) ^ seed;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** The upper halves of float32 numbers that are bfloat16; null if one of them is not. */
export function exactHalves(values: Float32Array): Uint16Array | null {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    if (bits[i]! & 0xffff) return null;
    halves[i] = bits[i]! >>> 16;
  }
  return halves;
}
