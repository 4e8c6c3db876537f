import {decodeUtf8, parseJsonText} from '../../files/json';

/** One example as it stands in a file. */
export interface RawRecord {
  /** The line in which it begins, from 1. */
  line: number;
  /** Its bytes, which should be JSON in UTF-8. */
  bytes: Uint8Array;
}

/** The longest example: in a longer one the file must be something else. */
const MAX_RECORD_BYTES = 2 ** 26;

const [NEWLINE, QUOTE, COMMA, BACKSLASH] = [0x0a, 0x22, 0x2c, 0x5c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];
const SPACES = [0x20, 0x09, NEWLINE, 0x0d];
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

const isSpace = (byte: number): boolean => SPACES.includes(byte);

/**
 * The examples of a file, in order: the lines of a `jsonl` file, or, if the first character is `[`,
 * the elements of the array that a `json` file is. No more than a chunk and one example are in memory
 * at a time. Blank lines, carriage returns and a byte order mark are passed over.
 *
 * @throws if an array is not closed or if something follows it, or if an example is longer than
 *   64 MiB.
 */
export async function* readRecords(
  owner: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<RawRecord> {
  let line = 1;
  let splitter: LineSplitter | ElementSplitter | null = null;
  for await (const chunk of chunks) {
    if (splitter) {
      yield* splitter.push(chunk);
      continue;
    }
    const first = chunk.findIndex((byte) => !isSpace(byte) && !BYTE_ORDER_MARK.includes(byte));
    const skipped = first < 0 ? chunk : chunk.subarray(0, first);
    line += skipped.filter((byte) => byte === NEWLINE).length;
    if (first < 0) continue;
    splitter =
      chunk[first] === OPEN_BRACKET
        ? new ElementSplitter(owner, line)
        : new LineSplitter(owner, line);
    yield* splitter.push(chunk.subarray(first));
  }
  if (splitter) yield* splitter.end();
}

/**
 * The value that the bytes of a record are.
 *
 * @throws if they are not JSON in UTF-8, with a message that a line can be put before.
 */
export function parseRecord(bytes: Uint8Array): unknown {
  return parseJsonText('it', decodeText(bytes));
}

/**
 * The text that bytes are, without a byte order mark.
 *
 * @throws if they are not UTF-8, with a message that a line or a file can be put before.
 */
export function decodeText(bytes: Uint8Array): string {
  return decodeUtf8('it', bytes).replace(/^\ufeff/, '');
}

/** The bytes of one record, which may come in several chunks. */
class RecordBytes {
  private pieces: Uint8Array[] = [];
  private length = 0;

  constructor(private readonly owner: string) {}

  add(piece: Uint8Array, line: number): void {
    this.pieces.push(piece);
    this.length += piece.length;
    if (this.length <= MAX_RECORD_BYTES) return;
    throw new Error(
      `${this.owner}: line ${line}: an example is longer than ${MAX_RECORD_BYTES} bytes; is this a ` +
        'jsonl file, or a json file with an array?',
    );
  }

  /** Everything added, without space at its ends: a copy, so that it does not hold whole chunks. */
  take(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let position = 0;
    for (const piece of this.pieces) {
      bytes.set(piece, position);
      position += piece.length;
    }
    this.pieces = [];
    this.length = 0;
    let [from, to] = [0, bytes.length];
    while (from < to && isSpace(bytes[from]!)) from++;
    while (from < to && isSpace(bytes[to - 1]!)) to--;
    return bytes.subarray(from, to);
  }
}

/** One record per line. */
class LineSplitter {
  private readonly record: RecordBytes;

  constructor(
    owner: string,
    private line: number,
  ) {
    this.record = new RecordBytes(owner);
  }

  *push(chunk: Uint8Array): Generator<RawRecord> {
    let from = 0;
    for (let to = chunk.indexOf(NEWLINE); to >= 0; to = chunk.indexOf(NEWLINE, from)) {
      this.record.add(chunk.subarray(from, to), this.line);
      yield* this.end();
      this.line++;
      from = to + 1;
    }
    this.record.add(chunk.subarray(from), this.line);
  }

  *end(): Generator<RawRecord> {
    const bytes = this.record.take();
    if (bytes.length > 0) yield {line: this.line, bytes};
  }
}

/**
 * One record per element of an array, whose bracket is the first byte. It can look at single bytes: JSON's
 * own characters are ASCII, and in UTF-8 no other character contains an ASCII byte.
 */
class ElementSplitter {
  private readonly record: RecordBytes;
  private readonly firstLine: number;
  private elements = 0;
  /** The line in which the record begins, null as long as there was only space. */
  private recordLine: number | null = null;
  /** Brackets and braces that are open, the array's own among them. */
  private depth = 0;
  private isClosed = false;
  private inString = false;
  private isEscaped = false;

  constructor(
    private readonly owner: string,
    private line: number,
  ) {
    this.record = new RecordBytes(owner);
    this.firstLine = line;
  }

  *push(chunk: Uint8Array): Generator<RawRecord> {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === NEWLINE) this.line++;
      if (isSpace(byte)) continue;
      if (this.isClosed) throw this.error(`line ${this.line}: something follows`);
      const isWithin = this.depth > 0;
      if (this.isSeparator(byte)) {
        if (isWithin) yield* this.finish(chunk.subarray(from, i));
        from = i + 1;
      } else {
        this.recordLine ??= this.line;
      }
    }
    if (!this.isClosed) this.record.add(chunk.subarray(from), this.line);
  }

  end(): RawRecord[] {
    if (this.isClosed) return [];
    throw this.error(`line ${this.line}: the file ends within`);
  }

  /** Whether a byte is the array's own bracket or comma; the counters move on. */
  private isSeparator(byte: number): boolean {
    if (this.inString) {
      if (this.isEscaped) this.isEscaped = false;
      else if (byte === BACKSLASH) this.isEscaped = true;
      else if (byte === QUOTE) this.inString = false;
      return false;
    }
    if (byte === QUOTE) this.inString = true;
    if (byte === OPEN_BRACKET || byte === OPEN_BRACE) return ++this.depth === 1;
    if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) {
      this.isClosed = --this.depth === 0;
      return this.isClosed;
    }
    return byte === COMMA && this.depth === 1;
  }

  private *finish(rest: Uint8Array): Generator<RawRecord> {
    this.record.add(rest, this.line);
    const record = {line: this.recordLine ?? this.line, bytes: this.record.take()};
    this.recordLine = null;
    const isEmptyArray = this.isClosed && this.elements === 0 && record.bytes.length === 0;
    if (!isEmptyArray) yield record;
    this.elements++;
  }

  private error(what: string): Error {
    return new Error(`${this.owner}: ${what} the array that begins in line ${this.firstLine}`);
  }
}
