/**
 * Tensors in the safetensors format: 8 bytes header length, a JSON header, then the values, all
 * little-endian.
 */

/** A tensor in memory; the values are float32 whatever they are in the file. */
export interface HostTensor {
  shape: number[];
  values: Float32Array;
}

/** The contents of a safetensors file. */
export interface SafetensorsFile {
  tensors: Map<string, HostTensor>;
  /** The text entries of `__metadata__`. */
  metadata: Record<string, string>;
}

/** Options of `serializeSafetensors`. */
export interface SafetensorsOptions {
  /**
   * How the values are stored; default `'F32'`. `'BF16'` takes half the bytes and keeps 8 bits of
   * precision.
   */
  dtype?: 'F32' | 'BF16';
  /** Text entries for `__metadata__`; default none. */
  metadata?: Record<string, string>;
}

interface HeaderEntry {
  name: string;
  dtype: FloatType;
  shape: number[];
  from: number;
  to: number;
}

type FloatType = 'F32' | 'F16' | 'BF16';

const BYTES: Readonly<Record<FloatType, number>> = {F32: 4, F16: 2, BF16: 2};
const METADATA = '__metadata__';
const LENGTH_BYTES = 8;
/** The values start at a multiple of this, so that readers can use them in place. */
const ALIGNMENT = 8;

/**
 * Reads a safetensors file with tensors of type F32, F16 or BF16. The values are copied.
 *
 * @throws if the header is damaged, or if the tensors do not cover the rest of the file exactly,
 *   without holes or overlaps.
 */
export function parseSafetensors(bytes: Uint8Array): SafetensorsFile {
  const {entries, metadata, dataStart} = parseHeader(bytes);
  const tensors = new Map<string, HostTensor>();
  for (const {name, dtype, shape, from, to} of entries) {
    // `slice` of a Node Buffer would not copy
    const data = new Uint8Array(bytes.subarray(dataStart + from, dataStart + to));
    tensors.set(name, {shape, values: decode(data, dtype)});
  }
  return {tensors, metadata};
}

/** The bytes of a safetensors file with these tensors, in the order of the map. */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  {dtype = 'F32', metadata}: SafetensorsOptions = {},
): Uint8Array {
  const header: Array<[name: string, entry: unknown]> = metadata ? [[METADATA, metadata]] : [];
  let size = 0;
  for (const [name, {shape, values}] of tensors) {
    if (values.length !== elements(shape)) {
      fail(`tensor '${name}' has ${values.length} values for shape [${shape.join(', ')}]`);
    }
    const end = size + values.length * BYTES[dtype];
    header.push([name, {dtype, shape, data_offsets: [size, end]}]);
    size = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerLength = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;

  const bytes = new Uint8Array(LENGTH_BYTES + headerLength + size).fill(
    32,
    0,
    LENGTH_BYTES + headerLength,
  );
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(json, LENGTH_BYTES);
  let offset = LENGTH_BYTES + headerLength;
  for (const {values} of tensors.values()) {
    const data = encode(values, dtype);
    bytes.set(data, offset);
    offset += data.length;
  }
  return bytes;
}

function parseHeader(bytes: Uint8Array): {
  entries: HeaderEntry[];
  metadata: Record<string, string>;
  dataStart: number;
} {
  if (bytes.length < LENGTH_BYTES) fail(`the file has ${bytes.length} bytes, less than a header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dataStart = LENGTH_BYTES + Number(view.getBigUint64(0, true));
  if (dataStart > bytes.length) {
    fail(`the header should end at byte ${dataStart}, but the file has ${bytes.length} bytes`);
  }
  const header = parseJson(bytes.subarray(LENGTH_BYTES, dataStart));
  const {[METADATA]: metadata = {}, ...tensors} = header;
  if (!isObject(metadata) || Object.values(metadata).some((text) => typeof text !== 'string')) {
    fail(`${METADATA} must hold texts only`);
  }
  const entries = Object.entries(tensors).map(([name, entry]) => checkEntry(name, entry));
  checkCoverage(entries, bytes.length - dataStart);
  return {entries, metadata: metadata as Record<string, string>, dataStart};
}

function parseJson(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', {fatal: true}).decode(bytes));
  } catch {
    fail('the header is not JSON');
  }
  if (!isObject(header)) fail('the header is not a JSON object');
  return header;
}

function checkEntry(name: string, entry: unknown): HeaderEntry {
  if (!isObject(entry)) fail(`the header's entry of tensor '${name}' is not an object`);
  const {dtype, shape, data_offsets: offsets} = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(BYTES, dtype)) {
    fail(`tensor '${name}' must have dtype F32, F16 or BF16; got ${JSON.stringify(dtype)}`);
  }
  if (!isCounts(shape)) fail(`tensor '${name}' has no valid shape; got ${JSON.stringify(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    fail(`tensor '${name}' has no valid data_offsets; got ${JSON.stringify(offsets)}`);
  }
  const [from, to] = offsets as [number, number];
  const expected = elements(shape) * BYTES[dtype as FloatType];
  if (to - from !== expected) {
    fail(
      `tensor '${name}' of shape [${shape.join(', ')}] and dtype ${dtype} ` +
        `must have ${expected} bytes; got ${to - from}`,
    );
  }
  return {name, dtype: dtype as FloatType, shape, from, to};
}

/** Throws unless the tensors follow each other from byte 0 to the end of the data. */
function checkCoverage(entries: readonly HeaderEntry[], dataLength: number): void {
  let end = 0;
  for (const {name, from, to} of [...entries].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) fail(`tensor '${name}' must start at byte ${end} of the data; got ${from}`);
    end = to;
  }
  if (end !== dataLength) fail(`the tensors need ${end} bytes of data; the file has ${dataLength}`);
}

function decode(data: Uint8Array, dtype: FloatType): Float32Array {
  if (dtype === 'F32') return new Float32Array(data.buffer);
  const halves = new Uint16Array(data.buffer);
  return dtype === 'F16' ? Float32Array.from(halves, halfToNumber) : fromBfloat16(halves);
}

function encode(values: Float32Array, dtype: 'F32' | 'BF16'): Uint8Array {
  const array = dtype === 'F32' ? values : toBfloat16(values);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** bfloat16 is the upper half of a float32. */
function fromBfloat16(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
}

/** Rounds to the nearest bfloat16, ties to even; NaN stays NaN. */
function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word, i) => {
    if (Number.isNaN(values[i])) return 0x7fc0;
    const lastKeptBit = (word >>> 16) & 1;
    return (word + 0x7fff + lastKeptBit) >>> 16;
  });
}

/** The number that the 16 bits of an IEEE half-precision float stand for. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function fail(message: string): never {
  throw new Error(`safetensors: ${message}`);
}
