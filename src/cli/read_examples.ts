/** Reads the examples of a file as a model will get them, before there is a model. */
import type {Hash} from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import type {DatasetReport, TextDataset, Tokenizer} from '../llama/index';
import {describeData, descriptionText} from '../llama/text/data_preview';
import type {FieldNames} from '../llama/text/formats';
import type {Context} from './command';
import {noteProblems, type Lengths} from './data_problems';
import {nextTurn} from '../common/next_turn';
import {counted} from './words';

/** Writes what a file is, how many examples it has, and where they have what. */
export async function noteData(
  path: string,
  examples: number,
  {tokenizer}: {tokenizer: Tokenizer},
  {fields}: {fields: FieldNames | undefined},
  {console}: Context,
): Promise<void> {
  const {hasChatTemplate} = tokenizer;
  const found = await describeData('data', path, {format: 'auto', fields: fields ?? null});
  const text = descriptionText(found, counted(examples, 'example'), hasChatTemplate);
  console.note(`${path}: ${text}`);
}

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
  noteProblems(context, name, dataset.report, lengths);
  return dataset.report;
}
