/**
 * The start of a GGUF file, of version 2 or 3: metadata by keys, then the name, shape, type and place of each tensor. All of it is a
 * stranger's: what a number says is checked against the file before anything of that size is made.
 */
import {decodeUtf8, show} from '../../../files/json';
import type {SourceFile} from '../../../files/source';
import {ByteReader} from './byte_reader';
import {generalKeys} from './key_names';
import {readMetadataValue, type MetadataValue} from './metadata';
import {otherTypeName, tensorType, tensorTypeNames, type TensorType} from './tensor_types';

/** A tensor of a GGUF file. */
export interface GgufTensor {
  name: string;
  type: TensorType;
  /** Row-major, the outermost dimension first; GGUF lists the innermost first. */
  shape: number[];
  /** First byte in the file. */
  from: number;
  /** Byte after the last. */
  to: number;
}

export interface GgufHeader {
  metadata: ReadonlyMap<string, MetadataValue>;
  /** In the order of their bytes. */
  tensors: GgufTensor[];
}

/** `GGUF`. */
export const MAGIC = 0x46554747;

/** More than any model has: those of the largest have some 1100 tensors and 60 keys. */
const MAX_TENSORS = 100_000;
const MAX_KEYS = 10_000;

/** The longest key or name of a tensor, in bytes; ggml itself takes no more than 63 for a tensor. */
const LONGEST_NAME = 2 ** 16 - 1;

/** As many as ggml has. */
const MAX_DIMENSIONS = 4;

/** Where the values of a tensor may begin, unless `general.alignment` says otherwise. */
export const ALIGNMENT = 32;
const {alignment: ALIGNMENT_KEY} = generalKeys;

/** Bytes of the smallest metadata entry, and of the smallest entry of a tensor. */
const KEY_BYTES = 13;
const TENSOR_BYTES = 24;

/**
 * Reads the header of a GGUF file, and no values.
 *
 * @param owner The beginning of messages: which function reads which file.
 * @throws if it is not such a file, damaged or larger than any real one, if a tensor has a type that cannot be read, or if tensors
 *   overlap or lie beyond the end of the file.
 */
export async function readGgufHeader(owner: string, file: SourceFile): Promise<GgufHeader> {
  const reader = new ByteReader(owner, file);
  await readStart(reader);
  await reader.need(16, 'the numbers of tensors and keys');
  const tensorCount = readCount(reader, 'tensors', MAX_TENSORS, TENSOR_BYTES);
  const keyCount = readCount(reader, 'keys', MAX_KEYS, KEY_BYTES);

  const metadata = new Map<string, MetadataValue>();
  const budget = {values: 0};
  for (let i = 0; i < keyCount; i++) {
    const key = await readName(reader, `key ${i}`);
    if (metadata.has(key)) throw new Error(`${owner}: it has the key ${show(key)} twice`);
    metadata.set(key, await readMetadataValue(reader, key, budget));
  }
  const entries: TensorEntry[] = [];
  for (let i = 0; i < tensorCount; i++) entries.push(await readTensorEntry(reader, i));
  return {metadata, tensors: placeTensors(owner, entries, dataStart(reader, metadata), file.size)};
}

async function readStart(reader: ByteReader): Promise<void> {
  const {owner} = reader;
  await reader.need(8, 'the start of a GGUF file');
  const [magic, version] = [reader.uint32(), reader.uint32()];
  if (magic !== MAGIC) {
    throw new Error(`${owner}: it does not begin with GGUF, so it is no such file`);
  }
  if (version === 2 || version === 3) return;
  const isBigEndian = (version & 0xffff) === 0;
  const way = isBigEndian
    ? 'it is for big-endian machines; convert it with gguf-convert-endian of the Python package gguf'
    : 'versions 2 and 3 can be read; convert the model anew with llama.cpp';
  throw new Error(`${owner}: the file has version ${version} of the format; ${way}`);
}

/** How many entries follow, each of which takes at least so many bytes. */
function readCount(reader: ByteReader, what: string, max: number, bytes: number): number {
  const count = reader.uint64();
  if (count > max) {
    throw new Error(
      `${reader.owner}: it says that it has ${count} ${what}; no model has more than ${max}`,
    );
  }
  if (count * bytes > reader.left) {
    throw new Error(
      `${reader.owner}: it says that it has ${count} ${what}, for which its ${reader.left} further bytes are too few`,
    );
  }
  return count;
}

async function readName(reader: ByteReader, what: string): Promise<string> {
  await reader.need(8, what);
  const length = reader.uint64();
  if (length > LONGEST_NAME) {
    throw new Error(
      `${reader.owner}: ${what} would have a name of ${length} bytes; at most ${LONGEST_NAME} are allowed`,
    );
  }
  await reader.need(length, what);
  return decodeUtf8(`${reader.owner}: the name of ${what}`, reader.bytes(length));
}

interface TensorEntry extends Pick<GgufTensor, 'name' | 'type' | 'shape'> {
  bytes: number;
  /** In the data. */
  offset: number;
}

async function readTensorEntry(reader: ByteReader, index: number): Promise<TensorEntry> {
  const name = await readName(reader, `tensor ${index}`);
  const tensor = `tensor ${show(name)}`;
  const {owner} = reader;
  await reader.need(4, tensor);
  const dimensions = reader.uint32();
  if (dimensions > MAX_DIMENSIONS) {
    throw new Error(
      `${owner}: ${tensor} has ${dimensions} dimensions; at most ${MAX_DIMENSIONS} are possible`,
    );
  }
  await reader.need(8 * dimensions + 12, tensor);
  const sizes = Array.from({length: dimensions}, () => reader.uint64());
  const typeId = reader.uint32();
  const offset = reader.uint64();
  const type = tensorType(typeId);
  if (!type) {
    throw new Error(
      `${owner}: ${tensor} is of type ${otherTypeName(typeId)}; supported are ${tensorTypeNames.join(', ')}; ` +
        'take a file of the model in one of these, such as Q4_K_M or Q8_0',
    );
  }
  const shape = sizes.reverse();
  const row = shape.at(-1) ?? 1;
  if (row % type.blockValues !== 0) {
    throw new Error(
      `${owner}: ${tensor} has rows of ${row} values; in type ${type.name} these must be a multiple of ${type.blockValues}`,
    );
  }
  const values = shape.reduce((product, size) => product * size, 1);
  // beyond what a double holds exactly there is no file
  if (!Number.isSafeInteger(values * type.blockBytes) || !Number.isSafeInteger(offset)) {
    throw new Error(
      `${owner}: ${tensor} of shape [${shape.join(', ')}] from byte ${offset} of the data on is beyond the end of the file`,
    );
  }
  return {name, type, shape, offset, bytes: (values / type.blockValues) * type.blockBytes};
}

/** Where the data begins: after the header, at a multiple of the alignment. */
function dataStart(
  reader: ByteReader,
  metadata: ReadonlyMap<string, MetadataValue>,
): {start: number; alignment: number} {
  const alignment = metadata.get(ALIGNMENT_KEY) ?? ALIGNMENT;
  const isPowerOfTwo =
    typeof alignment === 'number' && alignment >= 1 && Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo || alignment > 2 ** 20) {
    throw new Error(
      `${reader.owner}: ${ALIGNMENT_KEY} must be a power of two; got ${show(alignment)}`,
    );
  }
  return {start: Math.ceil(reader.position / alignment) * alignment, alignment};
}

/** The tensors in the order of their bytes. @throws if one is not where a tensor can be. */
function placeTensors(
  owner: string,
  entries: readonly TensorEntry[],
  {start, alignment}: {start: number; alignment: number},
  fileSize: number,
): GgufTensor[] {
  const names = new Set<string>();
  const tensors = entries.map(({name, type, shape, offset, bytes}) => {
    const tensor = `${owner}: tensor ${show(name)}`;
    if (names.has(name)) throw new Error(`${tensor} is there twice`);
    names.add(name);
    if (offset % alignment !== 0) {
      throw new Error(
        `${tensor} begins at byte ${offset} of the data, which must be a multiple of ${alignment}`,
      );
    }
    const [from, to] = [start + offset, start + offset + bytes];
    if (to > fileSize) {
      throw new Error(
        `${tensor} of shape [${shape.join(', ')}] in ${type.name} ends at byte ${to}, but the file has ${fileSize} bytes; ` +
          'get the file once more, it is damaged or cut off',
      );
    }
    return {name, type, shape, from, to};
  });
  tensors.sort((a, b) => a.from - b.from || a.to - b.to);
  for (const [i, {name, from}] of tensors.entries()) {
    const before = tensors[i - 1];
    if (!before || before.to <= from) continue;
    throw new Error(`${owner}: tensors ${show(before.name)} and ${show(name)} overlap`);
  }
  return tensors;
}
