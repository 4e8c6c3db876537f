import {
  isSpace,
  LineSplitter,
  NEWLINE,
  QUOTE,
  RecordBytes,
  trimmed,
  type RawRecord,
  type Splitter,
} from './splitter';

const [COMMA, BACKSLASH] = [0x2c, 0x5c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/** One record per line that is not blank. */
export class JsonLineSplitter implements Splitter {
  private readonly lines: LineSplitter;

  constructor(owner: string) {
    this.lines = new LineSplitter(owner);
  }

  *push(chunk: Uint8Array): Generator<RawRecord> {
    yield* recordsIn(this.lines.push(chunk));
  }

  *end(): Generator<RawRecord> {
    yield* recordsIn(this.lines.end());
  }
}

function* recordsIn(lines: Iterable<{line: number; bytes: Uint8Array}>): Generator<RawRecord> {
  for (const {line, bytes} of lines) {
    const record = trimmed(bytes);
    if (record.length > 0) yield {line, bytes: record};
  }
}

/**
 * One record per element of an array, whose bracket is the first character. It can look at single bytes: JSON's
 * own characters are ASCII, and in UTF-8 no other character contains an ASCII byte.
 */
export class ElementSplitter implements Splitter {
  private readonly record: RecordBytes;
  private line = 1;
  private firstLine = 1;
  private elements = 0;
  /** The line in which the record begins, null as long as there was only space. */
  private recordLine: number | null = null;
  /** Brackets and braces that are open, the array's own among them. */
  private depth = 0;
  private isClosed = false;
  private inString = false;
  private isEscaped = false;

  constructor(private readonly owner: string) {
    this.record = new RecordBytes(owner);
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
        else this.firstLine = this.line;
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
    const bytes = trimmed(this.record.take());
    const record = {line: this.recordLine ?? this.line, bytes};
    this.recordLine = null;
    const isEmptyArray = this.isClosed && this.elements === 0 && record.bytes.length === 0;
    if (!isEmptyArray) yield record;
    this.elements++;
  }

  private error(what: string): Error {
    return new Error(`${this.owner}: ${what} the array that begins in line ${this.firstLine}`);
  }
}
