/** Reads the examples of a file as a model will get them, before there is a model. */
import type {Hash} from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import type {DatasetReport, TextDataset} from '../llama/index';
import type {Context} from './command';
import {noteDataProblems, type Lengths} from './data_problems';
import {nextTurn} from './progress';

/**
 * Takes the batches of a pass, and says which examples were dropped or cut.
 *
 * @param name What messages call the data.
 * @param total How many examples there are, for the progress.
 * @param lengths Of rows, for what would help.
 * @param most Takes no more batches than that. Default: all.
 * @param hash Gets the ids and labels of all rows.
 * @throws if none of them can be used, or a token is not the model's.
 */
export async function readExamples(
  dataset: TextDataset,
  {
    name,
    total,
    lengths,
    max = Infinity,
    hash,
  }: {
    name: string;
    total: number;
    lengths: Lengths;
    max?: number;
    hash?: Hash;
  },
  context: Context,
): Promise<DatasetReport> {
  const progress = context.console.progress({label: `reading ${name}`, total});
  for await (const batch of dataset) {
    for (const ids of hash ? [batch.xs, batch.ys] : []) {
      const {buffer, byteOffset, byteLength} = await ids.data();
      hash!.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
    tf.dispose([batch.xs, batch.ys]);
    const {used, dropped, batches} = dataset.report;
    progress.update(used + dropped);
    await nextTurn();
    if (batches >= max) break;
  }
  progress.end();
  noteDataProblems(context, name, dataset.report, lengths);
  return dataset.report;
}
