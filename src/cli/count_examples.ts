/** Counts the examples of a file, from which progress bars tell the time that is left. */
import {chunksOf, openDataFile} from '../llama/text/data_file';
import {readRecords} from '../llama/text/records';
import type {CommandConsole} from './console';
import {countMegabytes} from './progress';

/**
 * Counts the examples of a `jsonl` or `json` file, without checking what is in them.
 *
 * @throws if there is no such file.
 */
export async function countExamples(path: string, console: CommandConsole): Promise<number> {
  const file = await openDataFile('data', path);
  const progress = console.progress({
    label: `counting ${path}`,
    total: file.size,
    count: countMegabytes,
  });
  try {
    let count = 0;
    const chunks = watched(chunksOf(file), (bytes) => progress.update(bytes));
    for await (const _ of readRecords(path, chunks)) count++;
    return count;
  } finally {
    progress.end();
    await file.close();
  }
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
