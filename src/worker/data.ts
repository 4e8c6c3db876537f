/** The examples of a training: those that it trains on and those that are held out. */
import * as tf from '@tensorflow/tfjs-core';
import type {ResolvedConfig} from '../llama/config';
import {textDataset, type DatasetReport, type TextDataset, type Tokenizer} from '../llama/index';
import {describeData} from '../llama/text/data_preview';
import type {TextDatasetOptions} from '../llama/text/dataset_options';
import {promptFormOf, type PromptForm} from '../llama/text/prompt_form';
import {isHeldOut, MAX_HELD_OUT, stepsOf} from '../training_defaults';
import {FineTuningError} from './errors';
import {turnEvery} from './turns';
import type {StatusEvent} from './events';
import {countExamples, readingProgress} from './reading';
import type {Settings} from './settings';

/** What a worker is at that reads examples. */
export const READING = 'reading the examples';

/** The examples of a training, read once. */
export interface TrainingData {
  /** One pass over what is trained on, or pass after pass without end. */
  training(options: {repeat: boolean}): TextDataset;
  /** One pass, in the order of the file. */
  heldOut(): TextDataset;
  batchSize: number;
  steps: number;
  /** Of what is trained on, as far as it was read: enough for the steps. */
  report: DatasetReport;
  heldOutExamples: number;
  /** How its examples ask; null if they are texts or chats. */
  promptForm: PromptForm | null;
}

/**
 * Files of examples as one.
 *
 * @throws if there are several, and not all of them are jsonl, or plain text.
 */
export async function joinedData(
  owner: string,
  data: Settings['data'],
  {fields = null, format = 'auto'}: Settings['dataset'],
): Promise<Blob> {
  const files = Object.entries(data).map(([name, file]) => new File([file], name));
  const [first, ...rest] = files as [File, ...File[]];
  if (rest.length === 0) return first;
  const kinds = await Promise.all(
    files.map(async (file) => {
      const found = (await describeData(owner, file, {format, fields})).format;
      return found.format === 'text' ? found.sampleBy : found.format;
    }),
  );
  const names = files.map(({name}, i) => `${name} (${kinds[i]!})`).join(', ');
  const [kind] = kinds;
  if (!kinds.every((each) => each === kind) || !['jsonl', 'line', 'paragraph'].includes(kind!))
    throw new Error(
      `${owner}: several files of data must all be jsonl, or all plain text; got ${names}. Give one file, or convert them to jsonl`,
    );
  const between = kind === 'paragraph' ? '\n\n' : '\n';
  return new File(
    files.flatMap((file) => [file, between]),
    files.map(({name}) => name).join(', '),
  );
}

/** Reads the examples once, for the tokenizer and the limits of a model. */
export async function prepareData(
  owner: string,
  settings: Settings,
  file: Blob,
  {tokenizer, config}: {tokenizer: Tokenizer; config: ResolvedConfig},
  onStatus: (status: Pick<StatusEvent, 'text' | 'done' | 'total'>) => void,
): Promise<TrainingData> {
  const {dataset, maxLength, seed, steps, accumulate, validationSplit, warmup} = settings;
  const {template: _, ...forms} = dataset;
  const common: TextDatasetOptions = {...forms, maxLength, seed, config};
  const of = (options: TextDatasetOptions): TextDataset =>
    textDataset(file, tokenizer, {...common, ...options});
  const isOut = (i: number): boolean => isHeldOut({validationSplit}, i);
  const trainingOf = (batchSize: number, repeat: boolean): TextDataset =>
    of({batchSize, repeat, select: (i) => !isOut(i)});
  const heldOutOf = (batchSize: number): TextDataset =>
    of({batchSize, shuffle: false, select: isOut, limit: MAX_HELD_OUT});

  let {batchSize} = settings;
  const max = steps === undefined ? Infinity : steps * accumulate;
  const {format = 'auto', fields = null} = forms;
  const enough = {trained: max * batchSize, heldOut: MAX_HELD_OUT};
  const counts = await countExamples(owner, file, fields, isOut, enough, (done, total) =>
    onStatus({text: 'counting the examples', done, total}),
  );
  const tell = readingProgress(counts, {batches: max, batchSize}, (done, total) =>
    onStatus({text: READING, done, ...(total !== undefined && {total})}),
  );
  let report = await look(trainingOf(batchSize, false), tell.trained, max).catch(
    async (error: unknown) => {
      // one that is held out may be why there are no others, and says what is wrong with it
      await look(heldOutOf(batchSize), tell.heldOut);
      throw error;
    },
  );
  const all = report.used + report.dropped;
  if (report.isComplete && !dataset.packing && all < batchSize) {
    batchSize = all;
    report = await look(trainingOf(batchSize, false), tell.trained, max);
  }
  const heldOut = await look(heldOutOf(batchSize), tell.heldOut);
  const count = stepsOf(settings, report.batches);
  if (warmup > 0 && warmup >= count)
    throw new FineTuningError(
      'bad-option',
      `${owner}: warmup must be below ${count}, the steps of the run; got ${warmup}`,
    );
  const {hasChatTemplate} = tokenizer;
  return {
    training: ({repeat}) => trainingOf(batchSize, repeat),
    heldOut: () => heldOutOf(batchSize),
    ...{batchSize, report, steps: count, heldOutExamples: heldOut.used},
    promptForm: await promptFormOf(owner, file, {format, fields, hasChatTemplate}),
  };
}

/** Takes at most so many batches of a pass. */
async function look(
  dataset: TextDataset,
  onBatch: (report: DatasetReport) => void,
  max = Infinity,
): Promise<DatasetReport> {
  let batches = 0;
  const turn = turnEvery(20);
  for await (const {xs, ys} of dataset) {
    tf.dispose([xs, ys]);
    onBatch(dataset.report);
    await turn();
    if (++batches >= max) break;
  }
  return dataset.report;
}
