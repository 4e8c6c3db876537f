/** Small GGUF files for tests, right or wrong. */

/** A value of metadata: a text, a number of a type, or a list of either. */
export type Value = string | boolean | {type: number; value: number} | {list: Value[]} | RawValue;

/** Any bytes after any number of a type. */
interface RawValue {
  type: number;
  bytes: Buffer;
}

export interface TensorEntry {
  name: string;
  /** The shortest stride first. */
  dimensions: number[];
  type: number;
  /** Default: where the one before it ends, at a multiple of 32. */
  offset?: number;
  data?: Uint8Array;
}

export interface GgufParts {
  magic?: string;
  version?: number;
  keys?: Array<[key: string, value: Value]>;
  tensors?: TensorEntry[];
  tensorCount?: number;
  keyCount?: number;
}

export const u32 = (value: number): Value => ({type: 4, value});
export const f32 = (value: number): Value => ({type: 6, value});

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function text(value: string): Buffer {
  return Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);
}

function typed(value: Value): [type: number, bytes: Buffer] {
  if (typeof value === 'string') return [8, text(value)];
  if (typeof value === 'boolean') return [7, Buffer.from([Number(value)])];
  if ('bytes' in value) return [value.type, value.bytes];
  if ('list' in value) {
    const items = value.list.map(typed);
    const type = items[0]?.[0] ?? 4;
    const all = [uint32(type), uint64(items.length), ...items.map(([, bytes]) => bytes)];
    return [9, Buffer.concat(all)];
  }
  const view = new DataView(new ArrayBuffer(4));
  if (value.type === 6) view.setFloat32(0, value.value, true);
  else if (value.type === 5) view.setInt32(0, value.value, true);
  else view.setUint32(0, value.value, true);
  return [value.type, Buffer.from(view.buffer)];
}

const ALIGNMENT = 32;
const aligned = (position: number): number => Math.ceil(position / ALIGNMENT) * ALIGNMENT;

/** The bytes of such a file. */
export function ggufBytes({
  magic = 'GGUF',
  version = 3,
  keys = [],
  tensors = [],
  tensorCount = tensors.length,
  keyCount = keys.length,
}: GgufParts): Uint8Array {
  let end = 0;
  const placed = tensors.map((tensor) => {
    const offset = tensor.offset ?? end;
    if (tensor.data) end = aligned(offset + tensor.data.length);
    return {...tensor, offset};
  });
  const header = Buffer.concat([
    Buffer.from(magic, 'latin1'),
    uint32(version),
    uint64(tensorCount),
    uint64(keyCount),
    ...keys.flatMap(([key, value]) => {
      const [type, bytes] = typed(value);
      return [text(key), uint32(type), bytes];
    }),
    ...placed.flatMap(({name, dimensions, type, offset}) => [
      text(name),
      uint32(dimensions.length),
      ...dimensions.map(uint64),
      uint32(type),
      uint64(offset),
    ]),
  ]);
  const bytes = new Uint8Array(aligned(header.length) + end);
  bytes.set(header);
  for (const {data, offset} of placed) if (data) bytes.set(data, aligned(header.length) + offset);
  return bytes;
}

/** A file of a source in memory. */
export function fileOf(bytes: Uint8Array, path = 'x.gguf') {
  return {
    path,
    size: bytes.length,
    read: async (from: number, to: number) => bytes.subarray(from, to),
    close: async () => undefined,
  };
}
