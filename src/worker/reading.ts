/** How far the examples of a training are read. */
import {chunksOf, openDataFile} from '../llama/text/data_file';
import type {DatasetReport} from '../llama/text/dataset_report';
import type {FieldNames} from '../llama/text/formats';
import {readRecords} from '../llama/text/records';
import {turnEvery} from './turns';

/** Examples that are trained on, and those that are held out. */
export interface ExampleCounts {
  trained: number;
  heldOut: number;
}

/**
 * How many examples a file has. None is tokenized, which takes nearly all of the time of reading them.
 *
 * @param isOut Whether an example is held out, by its place in the file.
 * @param enough So many are as good as all: the rest is not read then.
 * @param onRead As of `chunksOf`.
 * @returns null if the file is wrong: who reads its examples says why.
 */
export async function countExamples(
  owner: string,
  source: Blob,
  fields: FieldNames | null,
  isOut: (index: number) => boolean,
  enough: ExampleCounts,
  onRead: (bytes: number, size: number) => void,
): Promise<ExampleCounts | null> {
  const counts = {trained: 0, heldOut: 0};
  const turn = turnEvery(20);
  const file = await openDataFile(owner, source);
  try {
    let index = 0;
    for await (const _ of readRecords(owner, chunksOf(file, onRead), fields)) {
      counts[isOut(index++) ? 'heldOut' : 'trained']++;
      if (counts.trained >= enough.trained && counts.heldOut >= enough.heldOut) break;
      await turn();
    }
    return counts;
  } catch {
    return null;
  } finally {
    await file.close();
  }
}

/** Called with examples that are read, and those that are to be read; these are undefined where they are not known. */
export type OnRead = (done: number, total?: number) => void;

/**
 * Tells how far the reading is after a batch, first of what is trained on, then of what is held out.
 *
 * @param most What is read of what is trained on, at most.
 */
export function readingProgress(
  counts: ExampleCounts | null,
  most: {batches: number; batchSize: number},
  onRead: OnRead,
): Record<keyof ExampleCounts, (report: DatasetReport) => void> {
  if (!counts) {
    let trained = 0;
    return {
      trained: ({used}) => onRead((trained = used)),
      heldOut: ({used}) => onRead(trained + used),
    };
  }
  const trained = Math.min(counts.trained, most.batches * most.batchSize);
  const total = trained + counts.heldOut;
  return {
    trained({used, dropped, batches}) {
      // with packing a batch has more examples than rows, or less
      const part = Math.max((used + dropped) / counts.trained, batches / most.batches);
      onRead(Math.round(Math.min(1, part) * trained), total);
    },
    heldOut: ({used, dropped}) => onRead(Math.min(total, trained + used + dropped), total),
  };
}
