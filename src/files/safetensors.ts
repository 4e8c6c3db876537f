/** Throws unless `tensors` is a map of tensors by name. */
export function checkTensors(owner: string, tensors: unknown): void {
  checkArgument(owner, 'tensors', tensors, 'a Map of {shape, values}', tensors instanceof Map);
  for (const [name, tensor] of tensors as Map<unknown, Partial<HostTensor> | null>) {
    const {shape, values} = tensor ?? {};
    const isTensor =
      typeof name === 'string' &&
      Array.isArray(shape) &&
      (Array.isArray(values) || ArrayBuffer.isView(values));
    checkArgument(owner, `the tensor ${display(name)}`, tensor, '{shape, values}', isTensor);
  }
}

/**
 * Tensors in the safetensors format: 8 bytes header length, a JSON header, then the values, all
 * little-endian.
 */
import {checkArgument, checkChoice, checkKnown, display} from '../common/options';
import {decode, encode, floatTypes, type FloatType} from './float_type';
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
  /**
   * How the values are stored; default `'F32'`. `'BF16'` and `'F16'` take half the bytes; each value is
   * rounded to the nearest of the type, ties to even. `'BF16'` keeps 8 bits of precision and the range of
   * float32; `'F16'` keeps 11 bits, and values from 65520 on become infinite.
   */
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
  checkArgument(OWNER, 'bytes', bytes, 'a Uint8Array', bytes instanceof Uint8Array);
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
 * @throws if an option is unknown or wrong, or if a tensor's values do not fit its shape.
 */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  options: SafetensorsOptions = {},
): Uint8Array {
  checkKnown(OWNER, options, ['dtype', 'metadata']);
  const {dtype = 'F32', metadata} = options;
  checkChoice(OWNER, 'dtype', dtype, floatTypes);
  checkTensors(OWNER, tensors);
  for (const [name, {shape, values}] of tensors) {
    if (values.length === elements(shape)) continue;
    throw new Error(
      `${OWNER}: tensor '${name}' has ${values.length} values for shape [${shape.join(', ')}]`,
    );
  }
  const named = [...tensors].map(([name, {shape}]) => ({name, dtype, shape}));
  const parts = [
    serializeHeader(named, metadata),
    ...[...tensors.values()].map(({values}) => encode(asFloat32(values), dtype)),
  ];
  return concatenate(parts);
}

/** Numbers in an array of another kind, which is not refused, would be taken for the bytes that they are there. */
function asFloat32(values: ArrayLike<number>): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
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
