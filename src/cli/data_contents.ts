/** What a file of examples holds: how many there are, from which progress bars tell the time that is left, and a hash of them. */
import {createHash} from 'node:crypto';
import {isObject} from '../files/json';
import {chunksOf, openDataFile} from '../llama/text/data_file';
import type {FieldNames} from '../llama/text/formats';
import {readRecords} from '../llama/text/records';
import type {CommandConsole} from './console';
import {countMegabytes} from './progress';

/** The examples of a file, wherever it is and whatever stands between them. */
export interface DataContents {
  examples: number;
  /** Of the examples as they stand in the file, one a line; of those of a table or a text, as JSON. */
  sha256: string;
}

/**
 * Reads the examples of a file, without checking what is in them.
 *
 * @throws if there is no such file, or it has no examples, or an array or a quote in it is not closed.
 */
export async function contentsOf(
  path: string,
  fields: FieldNames | undefined,
  console: CommandConsole,
): Promise<DataContents> {
  const file = await openDataFile('data', path);
  const progress = console.progress({
    label: `counting ${path}`,
    total: file.size,
    count: countMegabytes,
  });
  try {
    let examples = 0;
    const hash = createHash('sha256');
    const chunks = watched(chunksOf(file), (bytes) => progress.update(bytes));
    for await (const {bytes} of readRecords(path, chunks, fields)) {
      examples++;
      hash.update(bytes).update('\n');
    }
    return {examples, sha256: hash.digest('hex')};
  } finally {
    progress.end();
    await file.close();
  }
}

/** Whether a value is what {@link contentsOf} gives. */
export function areContents(value: unknown): value is DataContents {
  if (!isObject(value)) return false;
  const {examples, sha256} = value;
  return Number.isSafeInteger(examples) && typeof sha256 === 'string';
}

async function* watched(
  chunks: AsyncIterable<Uint8Array>,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    onRead(bytes);
    yield chunk;
  }
}
