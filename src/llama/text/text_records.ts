import {
  isSpace,
  LineSplitter,
  NEWLINE,
  recordOf,
  RecordBytes,
  type RawRecord,
  type Splitter,
} from './splitter';

/** How a plain text is divided into examples, as `sample_by` of Hugging Face's `datasets`. */
export interface TextFormat {
  format: 'text';
  sampleBy: 'paragraph' | 'line';
  /** The byte that ends a line. */
  newline: number;
}

const LINE_END = Uint8Array.of(NEWLINE);

/** One record `{text}` per paragraph, which a blank line ends, or per line that is not blank. */
export class TextSplitter implements Splitter {
  private readonly lines: LineSplitter;
  private readonly example: RecordBytes;
  /** The line in which the example begins, null as long as there was none. */
  private firstLine: number | null = null;

  constructor(
    owner: string,
    private readonly format: TextFormat,
  ) {
    this.lines = new LineSplitter(owner, format.newline);
    this.example = new RecordBytes(owner);
  }

  *push(chunk: Uint8Array): Generator<RawRecord> {
    for (const {line, bytes} of this.lines.push(chunk)) yield* this.add(line, bytes);
  }

  *end(): Generator<RawRecord> {
    for (const {line, bytes} of this.lines.end()) yield* this.add(line, bytes);
    yield* this.finish();
  }

  private *add(line: number, bytes: Uint8Array): Generator<RawRecord> {
    const isBlank = bytes.every(isSpace);
    if (!isBlank) {
      if (this.firstLine !== null) this.example.add(LINE_END, line);
      this.firstLine ??= line;
      this.example.add(bytes, line);
    }
    if (isBlank || this.format.sampleBy === 'line') yield* this.finish();
  }

  private *finish(): Generator<RawRecord> {
    if (this.firstLine === null) return;
    const line = this.firstLine;
    this.firstLine = null;
    yield recordOf(line, this.example.take(), (text) => ({text}));
  }
}
