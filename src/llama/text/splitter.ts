/** What the readers of all formats have in common: bytes that come in chunks, and examples that end anywhere in them. */
import {decodeUtf8} from '../../files/json';

/** One example as it stands in a file. */
export interface RawRecord {
  /** The line in which it begins, from 1. */
  line: number;
  /** Its bytes, which should be JSON in UTF-8. Of a row of a table, or of a text, they are what a line of a `jsonl` file would be. */
  bytes: Uint8Array;
  /** Why it can be no example, where that is known: the bytes are then those of the file. */
  fault?: string;
}

/** Takes a file as it comes, and gives what is complete. */
export interface Splitter<T = RawRecord> {
  push(chunk: Uint8Array): Iterable<T>;
  /** What is left when the file has ended. */
  end(): Iterable<T>;
}

/** The longest example: in a longer one the file must be something else. */
const MAX_RECORD_BYTES = 2 ** 26;

export const [NEWLINE, CARRIAGE_RETURN, QUOTE] = [0x0a, 0x0d, 0x22];
const SPACES = [0x20, 0x09, NEWLINE, CARRIAGE_RETURN];

export const isSpace = (byte: number): boolean => SPACES.includes(byte);

/** Bytes without space at their ends. */
export function trimmed(bytes: Uint8Array): Uint8Array {
  let [from, to] = [0, bytes.length];
  while (from < to && isSpace(bytes[from]!)) from++;
  while (from < to && isSpace(bytes[to - 1]!)) to--;
  return bytes.subarray(from, to);
}

/** The bytes of one record, which may come in several chunks. */
export class RecordBytes {
  private pieces: Uint8Array[] = [];
  private length = 0;

  /** @param help What may be wrong with an example that is too long. */
  constructor(
    private readonly owner: string,
    private readonly help = '',
  ) {}

  add(piece: Uint8Array, line: number): void {
    this.pieces.push(piece);
    this.length += piece.length;
    if (this.length <= MAX_RECORD_BYTES) return;
    throw new Error(
      `${this.owner}: line ${line}: an example is longer than ${MAX_RECORD_BYTES} bytes${this.help}`,
    );
  }

  /** Everything added: a copy, so that it does not hold whole chunks. */
  take(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let position = 0;
    for (const piece of this.pieces) {
      bytes.set(piece, position);
      position += piece.length;
    }
    this.pieces = [];
    this.length = 0;
    return bytes;
  }
}

/**
 * The text that bytes are, without a byte order mark.
 *
 * @throws if they are not UTF-8, with a message that a line or a file can be put before.
 */
export function decodeText(bytes: Uint8Array): string {
  return decodeUtf8('it', bytes).replace(/^\ufeff/, '');
}

/** Bytes without a byte order mark before them. */
export function withoutMark(bytes: Uint8Array): Uint8Array {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return hasMark ? bytes.subarray(3) : bytes;
}

/** The lines of a file, blank ones too, without what ends them. */
export class LineSplitter implements Splitter<{line: number; bytes: Uint8Array}> {
  private readonly bytes: RecordBytes;
  private line = 1;

  constructor(
    owner: string,
    private readonly newline = NEWLINE,
  ) {
    this.bytes = new RecordBytes(owner);
  }

  *push(chunk: Uint8Array): Generator<{line: number; bytes: Uint8Array}> {
    let from = 0;
    for (let to = chunk.indexOf(this.newline); to >= 0; to = chunk.indexOf(this.newline, from)) {
      this.bytes.add(chunk.subarray(from, to), this.line);
      yield* this.end();
      this.line++;
      from = to + 1;
    }
    this.bytes.add(chunk.subarray(from), this.line);
  }

  *end(): Generator<{line: number; bytes: Uint8Array}> {
    yield {line: this.line, bytes: withoutReturn(this.bytes.take())};
  }
}

/** A line that ended with CR and LF. */
export function withoutReturn(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes;
}

/** A record of fields that a file has in another form than JSON. `fieldsOf` may throw; the message is the record's fault. */
export function recordOf(
  line: number,
  bytes: Uint8Array,
  fieldsOf: (text: string) => object,
): RawRecord {
  try {
    const fields = fieldsOf(decodeUtf8('it', bytes));
    return {line, bytes: new TextEncoder().encode(JSON.stringify(fields))};
  } catch (error) {
    return {line, bytes, fault: (error as Error).message};
  }
}
