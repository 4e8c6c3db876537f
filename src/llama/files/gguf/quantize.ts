/** Values to blocks of type Q8_0 as ggml lays them out, byte for byte as its reference and the `gguf` package of Python have them. */
import {toFloat16} from '../../../files/half_precision';

const VALUES = 32;
/** A float16, the scale, before the values. */
const SCALE_BYTES = 2;

/** The largest integer of a value. */
const MAX = 127;

/**
 * Whole blocks of 32 values. Each is an integer times the scale of its block, which is the largest magnitude through 127; halves are
 * rounded away from zero. All numbers between are float32.
 */
export function quantizeQ8_0(values: Float32Array): Uint8Array {
  const count = values.length / VALUES;
  const bytes = SCALE_BYTES + VALUES;
  const blocks = new Uint8Array(count * bytes);
  const integers = new Int8Array(blocks.buffer);
  const scales = new Float32Array(count);
  for (let block = 0; block < count; block++) {
    const from = block * VALUES;
    let largest = 0;
    for (let i = 0; i < VALUES; i++) largest = Math.max(largest, Math.abs(values[from + i]!));
    const scale = Math.fround(largest / MAX);
    scales[block] = scale;
    // infinite for the smallest scales, which are 0 as float16; their integers are then 0 as well
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const to = block * bytes + SCALE_BYTES;
    for (let i = 0; i < VALUES; i++) {
      integers[to + i] = awayFromZero(Math.fround(values[from + i]! * inverse));
    }
  }
  const halves = toFloat16(scales);
  for (let block = 0; block < count; block++) {
    blocks[block * bytes] = halves[block]! & 0xff;
    blocks[block * bytes + 1] = halves[block]! >> 8;
  }
  return blocks;
}

/** Rounds as C's `roundf`. */
function awayFromZero(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}
