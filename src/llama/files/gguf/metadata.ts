/** The values in the metadata of a GGUF file. */
import {decodeUtf8, show} from '../../../files/json';
import type {ByteReader} from './byte_reader';

/** A value; 64-bit integers beyond 2⁵³ are not exact. */
export type MetadataValue = number | boolean | string | number[] | boolean[] | string[];

/** How a value of one of the fixed sizes is read. */
interface Scalar {
  bytes: number;
  read(reader: ByteReader): number | boolean;
}

/** Types of values, by their numbers in the format. */
export const valueTypes = {uint32: 4, int32: 5, float32: 6, boolean: 7, text: 8, list: 9} as const;

/** Those of a fixed size, by their numbers in the format. */
const scalars: Readonly<Record<number, Scalar>> = {
  0: {bytes: 1, read: (reader) => reader.uint8()},
  1: {bytes: 1, read: (reader) => reader.int8()},
  2: {bytes: 2, read: (reader) => reader.uint16()},
  3: {bytes: 2, read: (reader) => reader.int16()},
  4: {bytes: 4, read: (reader) => reader.uint32()},
  5: {bytes: 4, read: (reader) => reader.int32()},
  6: {bytes: 4, read: (reader) => reader.float32()},
  [valueTypes.boolean]: {bytes: 1, read: (reader) => reader.uint8() !== 0},
  10: {bytes: 8, read: (reader) => reader.uint64()},
  11: {bytes: 8, read: (reader) => reader.int64()},
  12: {bytes: 8, read: (reader) => reader.float64()},
};

/** The most values of all lists together: twice as many as the largest vocabularies have, with scores, types and merges. */
const MAX_VALUES = 4_000_000;

/** The longest text in bytes: ten times as long as any chat template. */
const LONGEST_TEXT = 2_000_000;

/**
 * The value of a key, which begins with the number of its type.
 *
 * @param budget How many values lists had so far; counted on.
 * @throws if it is of no type, longer than any real one, or beyond the end of the file.
 */
export async function readMetadataValue(
  reader: ByteReader,
  key: string,
  budget: {values: number},
): Promise<MetadataValue> {
  const what = `the value of ${show(key)}`;
  await reader.need(4, what);
  const type = reader.uint32();
  if (type === valueTypes.list) return readList(reader, what, budget);
  if (type === valueTypes.text) return readText(reader, what);
  const scalar = scalarOf(reader, what, type);
  await reader.need(scalar.bytes, what);
  return scalar.read(reader);
}

function scalarOf({owner}: ByteReader, what: string, type: number): Scalar {
  const scalar = Object.hasOwn(scalars, type) ? scalars[type] : undefined;
  if (scalar) return scalar;
  throw new Error(`${owner}: ${what} is of type ${type}, which the format does not have here`);
}

async function readText(reader: ByteReader, what: string): Promise<string> {
  const length = reader.need(8, what);
  // most texts are in memory already, and a vocabulary has hundreds of thousands
  if (length) await length;
  const bytes = reader.uint64();
  if (bytes > LONGEST_TEXT) {
    throw new Error(
      `${reader.owner}: ${what} has a text of ${bytes} bytes; no model has one of more than ${LONGEST_TEXT}`,
    );
  }
  const content = reader.need(bytes, what);
  if (content) await content;
  return decodeUtf8(`${reader.owner}: ${what}`, reader.bytes(bytes));
}

async function readList(
  reader: ByteReader,
  what: string,
  budget: {values: number},
): Promise<MetadataValue> {
  await reader.need(12, what);
  const [type, count] = [reader.uint32(), reader.uint64()];
  budget.values += count;
  if (budget.values > MAX_VALUES) {
    throw new Error(
      `${reader.owner}: ${what} has ${count} values; no model has more than ${MAX_VALUES} in all`,
    );
  }
  if (type === valueTypes.text) {
    checkRoom(reader, what, count, 8);
    const texts: string[] = [];
    for (let i = 0; i < count; i++) texts.push(await readText(reader, what));
    return texts;
  }
  const scalar = scalarOf(reader, what, type);
  checkRoom(reader, what, count, scalar.bytes);
  await reader.need(count * scalar.bytes, what);
  const values = Array.from({length: count}, () => scalar.read(reader));
  return values as number[] | boolean[];
}

/** @throws if a list is longer than what is left of the file. */
function checkRoom(reader: ByteReader, what: string, count: number, bytes: number): void {
  if (count * bytes <= reader.left) return;
  throw new Error(
    `${reader.owner}: ${what} should have ${count} values, for which the ${reader.left} bytes that are left of the file are too few`,
  );
}
