/**
 * Tensors in the safetensors format: 8 bytes header length, a JSON header, then the values, all
 * little-endian.
 */
import {decode, encode, type FloatType} from './float_type';
import {
  elements,
  headerEnd,
  LENGTH_BYTES,
  parseHeader,
  serializeHeader,
} from './safetensors_header';

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
  /** How the values are stored; default `'F32'`. */
  dtype?: FloatType;
  /** Text entries for `__metadata__`; default none. */
  metadata?: Record<string, string>;
}

const OWNER = 'safetensors';

/**
 * Reads a safetensors file with tensors of type F32, F16 or BF16, in the order of their bytes. The
 * values are copied.
 *
 * @throws if the header is damaged or has a name twice, or if the tensors do not cover the rest of
 *   the file exactly, without holes or overlaps.
 */
export function parseSafetensors(bytes: Uint8Array): SafetensorsFile {
  const end = headerEnd(OWNER, bytes, bytes.length);
  const {entries, metadata} = parseHeader(OWNER, bytes.subarray(LENGTH_BYTES, end), bytes.length);
  const tensors = new Map(
    entries.map(({name, dtype, shape, from, to}) => [
      name,
      {shape, values: decode(bytes.subarray(from, to), dtype)},
    ]),
  );
  return {tensors, metadata};
}

/**
 * The bytes of a safetensors file with these tensors, in the order of the map.
 *
 * @throws if a tensor's values do not fit its shape.
 */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  {dtype = 'F32', metadata}: SafetensorsOptions = {},
): Uint8Array {
  for (const [name, {shape, values}] of tensors) {
    if (values.length === elements(shape)) continue;
    throw new Error(
      `${OWNER}: tensor '${name}' has ${values.length} values for shape [${shape.join(', ')}]`,
    );
  }
  const named = [...tensors].map(([name, {shape}]) => ({name, dtype, shape}));
  const parts = [
    serializeHeader(named, metadata),
    ...[...tensors.values()].map(({values}) => encode(values, dtype)),
  ];
  return concatenate(parts);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
