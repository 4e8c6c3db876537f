import {BYTES, floatTypes, isFloatType, type FloatType} from './float_type';
import {isObject, MAX_JSON_BYTES, parseJsonObject, show} from './json';

/** Where a file keeps a tensor. */
export interface TensorEntry {
  name: string;
  dtype: FloatType;
  shape: number[];
  /** First byte in the file. */
  from: number;
  /** Byte after the last. */
  to: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  entries: TensorEntry[];
  /** The text entries of `__metadata__`. */
  metadata: Record<string, string>;
}

/** The bytes at the start of a file that say how long its header is. */
export const LENGTH_BYTES = 8;

const METADATA = '__metadata__';
/** The most values in a header: those of 80000 matrices. A file of a million tensors, none of which has values, would take a gigabyte. */
const MAX_VALUES = 400_000;
/** The values start at a multiple of this, so that readers can use them in place. */
const ALIGNMENT = 8;

/**
 * Where the header of a file ends.
 *
 * @param start The first bytes of the file, `LENGTH_BYTES` or more unless the file is shorter.
 * @throws if the header would end beyond the file, or beyond the format's limit of 100 MB.
 */
export function headerEnd(owner: string, start: Uint8Array, fileSize: number): number {
  if (fileSize < LENGTH_BYTES) {
    throw new Error(`${owner}: the file has ${fileSize} bytes, less than a header; ${again}`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const length = view.getBigUint64(0, true);
  const end = length + BigInt(LENGTH_BYTES);
  if (end > BigInt(fileSize)) {
    throw new Error(
      `${owner}: the header should end at byte ${end}, but the file has ${fileSize} bytes; ${again}`,
    );
  }
  if (length > BigInt(MAX_JSON_BYTES)) {
    throw new Error(
      `${owner}: the header has ${length} bytes; the format allows ${MAX_JSON_BYTES}`,
    );
  }
  return Number(end);
}

const again = 'get the file once more, it is damaged or cut off';

/**
 * The header of a file.
 *
 * @param json The bytes from `LENGTH_BYTES` to `headerEnd`.
 * @throws if it is damaged or larger than any real one, if a tensor is not of type F32, F16 or BF16, or if the tensors do not
 *   cover the rest of the file exactly, without holes or overlaps.
 */
export function parseHeader(owner: string, json: Uint8Array, fileSize: number): SafetensorsHeader {
  const header = parseJsonObject(`${owner}: the header`, json, MAX_VALUES);
  const {[METADATA]: metadata = {}, ...tensors} = header;
  if (!isObject(metadata) || Object.values(metadata).some((text) => typeof text !== 'string')) {
    throw new Error(`${owner}: ${METADATA} must hold texts only; got ${show(metadata)}`);
  }
  const dataStart = LENGTH_BYTES + json.length;
  const entries = Object.entries(tensors)
    .map(([name, entry]) => checkEntry(owner, name, entry, dataStart))
    .sort((a, b) => a.from - b.from || a.to - b.to);
  checkCoverage(owner, entries, dataStart, fileSize);
  return {entries, metadata: metadata as Record<string, string>};
}

/** The part of a file before the values: the header's length and the header. */
export function serializeHeader(
  tensors: ReadonlyArray<Pick<TensorEntry, 'name' | 'dtype' | 'shape'>>,
  metadata?: Record<string, string>,
): Uint8Array {
  const header: Array<[name: string, entry: unknown]> = metadata ? [[METADATA, metadata]] : [];
  let end = 0;
  for (const {name, dtype, shape} of tensors) {
    const from = end;
    end += elements(shape) * BYTES[dtype];
    header.push([name, {dtype, shape, data_offsets: [from, end]}]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const length = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(' '.charCodeAt(0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, LENGTH_BYTES);
  return bytes;
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function checkEntry(owner: string, name: string, entry: unknown, dataStart: number): TensorEntry {
  const tensor = `${owner}: tensor ${show(name)}`;
  if (!isObject(entry)) {
    throw new Error(`${tensor} must have an object as its entry in the header; got ${show(entry)}`);
  }
  const {dtype, shape, data_offsets: offsets} = entry;
  if (!isFloatType(dtype)) {
    throw new Error(
      `${tensor} must have dtype ${floatTypes.join(', ')}; got ${show(dtype)}; ` +
        'convert the checkpoint to one of these first',
    );
  }
  if (!isCounts(shape)) throw new Error(`${tensor} has no valid shape; got ${show(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw new Error(`${tensor} has no valid data_offsets; got ${show(offsets)}`);
  }
  const [from, to] = offsets as [number, number];
  const expected = elements(shape) * BYTES[dtype];
  if (to - from !== expected) {
    throw new Error(
      `${tensor} of shape ${show(shape)} and dtype ${dtype} must have ${expected} bytes; ` +
        `got data_offsets ${show(offsets)}, ${to - from} bytes`,
    );
  }
  return {name, dtype, shape, from: dataStart + from, to: dataStart + to};
}

/** Throws unless the tensors follow each other from the first byte of the data to the last. */
function checkCoverage(
  owner: string,
  entries: readonly TensorEntry[],
  dataStart: number,
  fileSize: number,
): void {
  let end = dataStart;
  for (const {name, from, to} of entries) {
    if (from !== end) {
      throw new Error(
        `${owner}: tensor ${show(name)} must start at byte ${end - dataStart} of the data, ` +
          `where the one before it ends; got ${from - dataStart}`,
      );
    }
    end = to;
  }
  if (end !== fileSize) {
    throw new Error(
      `${owner}: the tensors need ${end - dataStart} bytes of data; the file has ` +
        `${fileSize - dataStart}; ${again}`,
    );
  }
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
