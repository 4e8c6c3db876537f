import {parseJsonText} from '../../files/json';
import {TableSplitter} from './csv_records';
import {HEAD_BYTES, recogniseData, type DataFormat} from './data_format';
import {ExampleError} from './example_error';
import type {FieldNames} from './formats';
import {ElementSplitter, JsonLineSplitter} from './json_records';
import {decodeText, withoutMark, type RawRecord, type Splitter} from './splitter';
import {TextSplitter} from './text_records';

/**
 * The examples of a file, in order: the lines of a `jsonl` file, the elements of the array that a `json` file is, the rows below the
 * header of a `csv` or `tsv` file, or the paragraphs of a text. The beginning of the file tells which. No more than a chunk and one
 * example are in memory at a time. Blank lines, carriage returns and a byte order mark are passed over.
 *
 * @param fields Names of fields that are given, by which a header is known.
 * @throws if the file is none of these, if an array is not closed or something follows it, if a quote is not closed, or if an example is
 *   longer than 64 MiB.
 */
export async function* readRecords(
  owner: string,
  chunks: AsyncIterable<Uint8Array>,
  fields: FieldNames | null = null,
): AsyncGenerator<RawRecord> {
  let splitter: Splitter | null = null;
  let head: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    if (!splitter) {
      head = head.length === 0 ? chunk : joined(head, chunk);
      if (head.length < HEAD_BYTES) continue;
    }
    const bytes = splitter ? chunk : withoutMark(head);
    splitter ??= createSplitter(owner, recogniseData(owner, head, fields));
    yield* splitter.push(bytes);
  }
  if (!splitter) {
    splitter = createSplitter(owner, recogniseData(owner, head, fields));
    yield* splitter.push(withoutMark(head));
  }
  yield* splitter.end();
}

function createSplitter(owner: string, format: DataFormat): Splitter {
  switch (format.format) {
    case 'jsonl':
      return new JsonLineSplitter(owner);
    case 'json':
      return new ElementSplitter(owner);
    case 'text':
      return new TextSplitter(owner, format);
    default:
      return new TableSplitter(owner, format);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** What engines say around why a text is no JSON: Firefox and Safari that `JSON.parse` says so, and all but Safari where. */
const AROUND =
  /^JSON(?:\.parse| Parse error): |(?: in JSON)? at (?:position \d+(?: \(line.*)?|line \d+ column \d+ of the JSON data)$/g;

/**
 * The value of a record.
 *
 * @throws if it is not JSON in UTF-8, or no example for another reason, with a message that a line can be put before.
 */
export function parseRecord({bytes, fault}: RawRecord): unknown {
  if (fault !== undefined) throw new ExampleError(fault);
  try {
    return parseJsonText('it', decodeText(bytes));
  } catch (cause) {
    // 'it is not JSON', and why; where in the record would be a second line beside its own
    const [, what, why] = /^(.*?)(?:: (.*))?$/s.exec((cause as Error).message)!;
    throw new ExampleError(what!, why && `: ${why.replace(AROUND, '')}`, {cause});
  }
}
