/** What a file of examples is, by its beginning. */
import {cut} from '../../common/options';
import {isObject} from '../../files/json';
import {fieldsOfRow, newlineOf, RowSplitter, type Dialect, type TableFormat} from './csv_records';
import {hasExampleFields, isExampleField, type FieldNames} from './formats';
import {decodeText, withoutMark} from './splitter';
import type {TextFormat} from './text_records';

/** The format of a file. */
export type DataFormat = {format: 'jsonl'} | {format: 'json'} | TableFormat | TextFormat;

/** Bytes by which it is told. */
export const HEAD_BYTES = 2 ** 16;

/**
 * Tells the format of a file.
 *
 * @param owner The file; a name that ends in .csv or .tsv only keeps a table without a header from being taken for a text.
 * @param beginning Its first bytes, at least {@link HEAD_BYTES}; if there are fewer, all of them.
 * @param fields Names of fields that are given, by which a header is known.
 * @throws if it is none that can be read, with what it is, and the way out.
 */
export function recogniseData(
  owner: string,
  beginning: Uint8Array,
  fields: FieldNames | null = null,
): DataFormat {
  const isWhole = beginning.length < HEAD_BYTES;
  const head = withoutMark(beginning.subarray(0, HEAD_BYTES));
  const foreign = foreignFormat(head);
  if (foreign !== null) throw new Error(`${owner} is ${foreign}`);
  const text = new TextDecoder().decode(head).trimStart();
  if (text === '' && isWhole) throw new Error(`${owner} is empty`);
  if (text.startsWith('{')) {
    const other = otherObjects(text, isWhole, fields);
    if (other !== null) throw new Error(`${owner} is ${other}`);
  }
  if (text === '' || /^\{\s*(["}]|$)/.test(text)) return {format: 'jsonl'};
  if (/^\[\s*([[{"\],\d-]|true|false|null|$)/.test(text)) return {format: 'json'};
  const lines = linesOf(text, isWhole);
  const objects = lines.filter((line) => /^\s*\{\s*["}]/.test(line));
  if (objects.length > lines.length / 2) return {format: 'jsonl'};
  const table = tableIn(owner, head, isWhole, fields);
  if (table) return table;
  if (/\.[ct]sv$/i.test(owner)) {
    throw new Error(
      `${owner} has no header that names its columns; write one as its first line, such as question,answer, or give the file another name if it is a plain text`,
    );
  }
  const hasBlankLine = /\n[ \t]*\n/.test(text.trimEnd().replace(/\r\n?/g, '\n'));
  const sampleBy = hasBlankLine ? 'paragraph' : 'line';
  return {format: 'text', sampleBy, newline: newlineOf(head)};
}

/** The lines of the beginning of a text that are whole, without blank ones. */
function linesOf(text: string, isWhole: boolean): string[] {
  const lines = text.split(/\r\n?|\n/);
  return (isWhole ? lines : lines.slice(0, -1)).filter((line) => line.trim() !== '');
}

const AS_LINES = "to_json('data.jsonl', orient='records', lines=True)";

/** Formats of others that begin with these bytes, and the way out. */
const SIGNATURES: ReadonlyArray<readonly [bytes: string, what: string]> = [
  ['PAR1', `a Parquet file; make lines of it, in Python by pandas.read_parquet(…).${AS_LINES}`],
  ['ARROW1', `an Arrow file; make lines of it, in Python by pandas.read_feather(…).${AS_LINES}`],
  [
    '\xff\xff\xff\xff',
    'an Arrow stream, as datasets keeps them; make lines of it by ' +
      "Dataset.from_file(…).to_json('data.jsonl')",
  ],
  ['\x1f\x8b', 'compressed by gzip; decompress it first, by gunzip'],
  ['\x28\xb5\x2f\xfd', 'compressed by zstd; decompress it first, by unzstd'],
  ['BZh', 'compressed by bzip2; decompress it first, by bunzip2'],
  ['\xfd7zXZ', 'compressed by xz; decompress it first, by unxz'],
  ['\xd0\xcf\x11\xe0', 'a spreadsheet or document of older programs; save it as csv'],
  ['%PDF-', 'a PDF; make a text of it first, as pdftotext does'],
  ['SQLite format 3\0', 'an SQLite database; save a table as csv, by sqlite3 -header -csv'],
  ['GGUF', 'a model in GGUF; examples are wanted here'],
  ['\xff\xfe', 'a text in UTF-16; save it as UTF-8'],
  ['\xfe\xff', 'a text in UTF-16; save it as UTF-8'],
  ['\x80\x04', 'a pickle of Python; save its examples as jsonl'],
  ['\x80\x05', 'a pickle of Python; save its examples as jsonl'],
];

/** A file that cannot be read, and the way out; null if it is a text. */
function foreignFormat(head: Uint8Array): string | null {
  const start = Array.from(head.subarray(0, 2048), (byte) => String.fromCharCode(byte)).join('');
  if (start.startsWith('PK\x03\x04')) {
    return /xl\/|\[Content_Types\]/.test(start)
      ? 'a spreadsheet or document of Office; save it as csv'
      : 'a zip archive; unpack it first';
  }
  const known = SIGNATURES.find(([bytes]) => start.startsWith(bytes));
  if (known) return known[1];
  // the length of a header, which is JSON
  if (/^[^]{4}\0{4}\{/.test(start)) return 'a model in safetensors; examples are wanted here';
  if (/^\s*<(!doctype html|html)\b/i.test(start)) {
    return 'a page of HTML; was the file itself downloaded, or the page that shows it?';
  }
  if (/^\s*<\?xml\b/.test(start)) return 'XML; save its examples as jsonl or csv';
  const zeros = [0, 1].map((odd) => count(head, (byte, i) => byte === 0 && i % 2 === odd));
  if (Math.max(...zeros) > head.length / 8 && Math.min(...zeros) === 0) {
    return 'a text in UTF-16; save it as UTF-8';
  }
  // JSON with such a byte is damaged, and told by its line
  const isText = Math.max(...zeros) === 0 || /^\s*[[{]/.test(start);
  return isText ? null : 'no text: it has bytes that are 0';
}

function count(bytes: Uint8Array, isCounted: (byte: number, i: number) => boolean): number {
  return bytes.reduce((sum, byte, i) => sum + Number(isCounted(byte, i)), 0);
}

/** What begins with a brace and is not a line for each example, and the way out; null if it may be such lines. */
function otherObjects(text: string, isWhole: boolean, fields: FieldNames | null): string | null {
  if (/^\{\s*'/.test(text)) {
    return "Python's repr and not JSON, with single quotes; write it with json.dumps";
  }
  const [first, ...others] = text.split('\n') as [string, ...string[]];
  const object = parsed(first);
  if (isObject(object)) {
    const isAlone = isWhole && others.every((line) => line.trim() === '');
    if (!isAlone || hasExampleFields(Object.keys(object), fields)) return null;
    const isList = (value: unknown): boolean => Array.isArray(value) && isObject(value[0]);
    const key = Object.keys(object).find(
      (name) => isList(object[name]) && !isExampleField(name, fields),
    );
    return key === undefined ? null : oneObject(key);
  }
  if (isObject(parsed(first.replace(/,\s*$/, '')))) {
    return 'JSON with commas between its lines; leave them out, or put all between [ and ], without the last comma';
  }
  if (others.length > 0) {
    const goesOn = /[[{,:]\s*$/.test(first) && !/^\s*\{/.test(others[0]!);
    return goesOn ? oneObject(openList(text, true)) : null;
  }
  const key = isWhole ? undefined : openList(text, false);
  return key === undefined || isExampleField(key, fields) ? null : oneObject(key);
}

function oneObject(key: string | undefined): string {
  if (key === undefined) {
    return 'JSON over several lines; write each example in one line, as jq -c . does, or all of them in an array';
  }
  const path = /^\w+$/.test(key) ? `.${key}` : `.[${JSON.stringify(key)}]`;
  return `one JSON object with a list under '${cut(key, 100)}'; save that list alone, as jq '${cut(path, 100)}' does`;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/**
 * The key of an object under which a list of objects begins.
 *
 * @param mayEnd Whether the list may end in this beginning of the text.
 */
function openList(text: string, mayEnd: boolean): string | undefined {
  let [open, name, key] = ['', '', undefined as string | undefined];
  for (const [token, string] of text.matchAll(/"((?:[^"\\]|\\.)*)"|[[\]{}]/g)) {
    if (string !== undefined) {
      if (open === '{') name = string;
    } else if (token === '[' || token === '{') {
      open += token;
      if (open === '{[{') key ??= name;
    } else {
      open = open.slice(0, -1);
      if (open === '{' && !mayEnd) key = undefined;
    }
  }
  return key;
}

/** Rows of the beginning that are looked at. */
const MAX_ROWS = 100;

/** A header names its columns, and may do so with a blank or a dash in a name; a sentence before a comma is none. */
const NAME = /^[\p{L}_][\p{L}\p{N}_ ./()#-]{0,39}$/u;

/** The table that begins here: its first row has the fields of an example, or looks like a header of all rows that follow. */
function tableIn(
  owner: string,
  head: Uint8Array,
  isWhole: boolean,
  fields: FieldNames | null,
): TableFormat | null {
  const newline = newlineOf(head);
  for (const delimiter of ['\t', ',', ';'] as const) {
    const [header, ...rows] = rowsOf(head, isWhole, {delimiter, newline});
    if (!header) continue;
    const columns = header.map((name) => name.trim());
    const isKnown =
      columns.length > 1
        ? hasExampleFields(columns, fields)
        : // a text may begin with such a word
          delimiter === ',' && (columns[0] === 'text' || columns[0] === fields?.text);
    const looksLikeOne =
      columns.length > 1 &&
      header.every((name) => NAME.test(name) && name === name.trim()) &&
      rows.length > 0 &&
      rows.every((row) => row?.length === columns.length);
    if (!isKnown && !looksLikeOne) continue;
    const twice = columns.find((name, i) => name !== '' && columns.indexOf(name) < i);
    if (twice !== undefined) {
      throw new Error(`${owner} has two columns '${cut(twice, 100)}'; give one another name`);
    }
    return {format: delimiter === '\t' ? 'tsv' : 'csv', delimiter, newline, columns};
  }
  return null;
}

/** The first rows, each null if its quotes are wrong. */
function rowsOf(
  head: Uint8Array,
  isWhole: boolean,
  dialect: Dialect,
): Array<readonly string[] | null> {
  const splitter = new RowSplitter('', dialect);
  const rows: Array<readonly string[] | null> = [];
  const add = (some: Iterable<{bytes: Uint8Array}>): void => {
    for (const {bytes} of some) {
      if (rows.length === MAX_ROWS) return;
      try {
        rows.push(fieldsOfRow(decodeText(bytes), dialect.delimiter));
      } catch {
        rows.push(null);
      }
    }
  };
  add(splitter.push(head));
  try {
    if (isWhole) add(splitter.end());
  } catch {
    // a quote that is not closed is told when all is read
  }
  return rows;
}
