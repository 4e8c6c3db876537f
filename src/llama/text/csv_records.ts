/**
 * Tables with a header as `csv` files have them (RFC 4180) and `tsv` files, as they come. Rows, and a quote where it should not be, are
 * those of Python's `csv.reader`, but that a quote within a quoted field must be doubled. papaparse, with which the tests compare, gives no
 * lines, streams only what it fetches itself, and takes the square of the length of a field in which quotes are damaged.
 */
import {
  CARRIAGE_RETURN,
  decodeText,
  NEWLINE,
  QUOTE,
  RecordBytes,
  recordOf,
  trimmed,
  withoutMark,
  withoutReturn,
  type RawRecord,
  type Splitter,
} from './splitter';

/** How fields and rows end. */
export interface Dialect {
  delimiter: '\t' | ',' | ';';
  /** The byte that ends a line. */
  newline: number;
}

/** A file with a header. */
export interface TableFormat extends Dialect {
  format: 'csv' | 'tsv';
  columns: readonly string[];
}

/** A row, whose fields are not taken apart yet. */
interface RawRow {
  /** The line in which it begins, from 1. */
  line: number;
  bytes: Uint8Array;
}

/** Where in a row a byte stands. */
const [AT_START, PLAIN, QUOTED, AFTER_QUOTE] = [0, 1, 2, 3];

/** The rows of a file but blank ones. It can look at single bytes, as in UTF-8 no other character contains an ASCII byte. */
export class RowSplitter implements Splitter<RawRow> {
  private readonly row: RecordBytes;
  private readonly delimiter: number;
  private readonly newline: number;
  private line = 1;
  private rowLine = 1;
  /** Where the last quote was opened. */
  private quoteLine = 0;
  private place = AT_START;

  constructor(
    private readonly owner: string,
    {delimiter, newline}: Dialect,
  ) {
    this.row = new RecordBytes(owner, '; is a quote not closed?');
    this.delimiter = delimiter.charCodeAt(0);
    this.newline = newline;
  }

  *push(chunk: Uint8Array): Generator<RawRow> {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      const isRowEnd = byte === this.newline && this.place !== QUOTED;
      if (byte === this.newline) this.line++;
      if (!isRowEnd) {
        this.place = this.after(byte);
        continue;
      }
      this.row.add(chunk.subarray(from, i), this.rowLine);
      yield* this.finish();
      from = i + 1;
    }
    this.row.add(chunk.subarray(from), this.rowLine);
  }

  *end(): Generator<RawRow> {
    if (this.place === QUOTED) {
      throw new Error(`${this.owner}: line ${this.quoteLine}: a quote is opened and never closed`);
    }
    yield* this.finish();
  }

  private after(byte: number): number {
    if (this.place === QUOTED) return byte === QUOTE ? AFTER_QUOTE : QUOTED;
    if (byte === this.delimiter) return AT_START;
    if (byte !== QUOTE || this.place === PLAIN) return PLAIN;
    // the first one of a field, or the second of two within it
    if (this.place === AT_START) this.quoteLine = this.line;
    return QUOTED;
  }

  private *finish(): Generator<RawRow> {
    const bytes = this.row.take();
    const line = this.rowLine;
    this.rowLine = this.line;
    this.place = AT_START;
    if (trimmed(bytes).length === 0) return;
    yield {line, bytes: this.newline === NEWLINE ? withoutReturn(bytes) : bytes};
  }
}

/**
 * The fields of a row.
 *
 * @throws if what follows a quoted field is not the delimiter, with a message that a line can be put before.
 */
export function fieldsOfRow(row: string, delimiter: string): string[] {
  const fields: string[] = [];
  for (let at = 0; ; at++) {
    let end: number;
    if (row[at] === '"') {
      end = row.indexOf('"', at + 1);
      while (end >= 0 && row[end + 1] === '"') end = row.indexOf('"', end + 2);
      if (end < 0) throw new Error('a quote is not closed');
      fields.push(row.slice(at + 1, end).replaceAll('""', '"'));
      do end++;
      while (row[end] === ' ');
      if (end < row.length && row[end] !== delimiter) {
        throw new Error('a quote within a quoted field must be doubled');
      }
    } else {
      end = row.indexOf(delimiter, at);
      if (end < 0) end = row.length;
      fields.push(row.slice(at, end));
    }
    if (end >= row.length) return fields;
    at = end;
  }
}

/** One record per row below the header, whose names are its fields. */
export class TableSplitter implements Splitter {
  private readonly rows: RowSplitter;
  private isBelowHeader = false;

  constructor(
    owner: string,
    private readonly format: TableFormat,
  ) {
    this.rows = new RowSplitter(owner, format);
  }

  *push(chunk: Uint8Array): Generator<RawRecord> {
    for (const row of this.rows.push(chunk)) yield* this.record(row);
  }

  *end(): Generator<RawRecord> {
    for (const row of this.rows.end()) yield* this.record(row);
  }

  private *record({line, bytes}: RawRow): Generator<RawRecord> {
    if (this.isBelowHeader) yield recordOf(line, bytes, (row) => this.fieldsOf(row));
    this.isBelowHeader = true;
  }

  private fieldsOf(row: string): object {
    const {columns, delimiter} = this.format;
    const fields = fieldsOfRow(row, delimiter);
    if (fields.slice(columns.length).some((field) => field !== '')) {
      throw new Error(
        `a row has more fields than the header, which has ${columns.length}; should some be in quotes?`,
      );
    }
    const named = columns.map((name, i) => [name, fields[i]] as const);
    return Object.fromEntries(named.filter(([name, field]) => name !== '' && field !== undefined));
  }
}

/** A row of a file without a header. */
export interface CsvRow {
  /** The line in which it begins, from 1. */
  line: number;
  /** @throws as {@link fieldsOfRow}, or if they are not UTF-8. */
  fields(): string[];
}

/**
 * The rows of a csv file without a header.
 *
 * @throws if a quote is not closed; the rows before it have been given by then.
 */
export async function* csvRows(
  owner: string,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<CsvRow> {
  let splitter: RowSplitter | undefined;
  const rowOf = ({line, bytes}: RawRow): CsvRow => ({
    line,
    fields: () => fieldsOfRow(decodeText(bytes), ','),
  });
  for await (const chunk of chunks) {
    const bytes = splitter ? chunk : withoutMark(chunk);
    splitter ??= new RowSplitter(owner, {delimiter: ',', newline: newlineOf(bytes)});
    for (const row of splitter.push(bytes)) yield rowOf(row);
  }
  for (const row of splitter?.end() ?? []) yield rowOf(row);
}

/** The byte that ends lines in a file with this beginning. */
export function newlineOf(head: Uint8Array): number {
  return !head.includes(NEWLINE) && head.includes(CARRIAGE_RETURN) ? CARRIAGE_RETURN : NEWLINE;
}
