/** The examples of a run: those that it trains on and those that are held out, all read once before training begins. */
import {createHash, type Hash} from 'node:crypto';
import {textDataset, type DatasetReport, type TextDataset} from '../llama/index';
import type {TextDatasetOptions} from '../llama/text/dataset_options';
import type {ExamplePrompt} from '../llama/text/example_prompt';
import type {Tokenizer} from '../llama/text/tokenizer';
import type {LlamaConfig} from '../llama/config';
import type {Context} from './command';
import type {CommandConsole} from './console';
import {contentsOf, type DataContents} from './data_contents';
import type {FinetuneSettings} from './finetune_options';
import type {FittedDefaults} from './fitted_defaults';
import {heldOutPrompts} from './held_out_answers';
import {noteData, readExamples} from './read_examples';
import type {RunData} from './run_data';
import {asUsage, UsageError} from './usage_error';
import {counted} from './words';
import {isHeldOut, MAX_HELD_OUT, stepsOf} from '../training_defaults';

/** The data of a run. */
export interface TrainingData {
  /** One pass over what is trained on, or pass after pass without end. */
  training(options: {repeat: boolean}): TextDataset;
  /** One pass, in the order of the file. */
  heldOut(): TextDataset;
  /** Examples in it. */
  heldOutExamples: number;
  /** Some of its prompts, which the model answers before training and after it. */
  prompts: ExamplePrompt[];
  tokenizer: Tokenizer;
  batchSize: number;
  /** Steps of the run. */
  steps: number;
  /** On the examples that are trained on, as many of them as were read: enough for the steps of the run. */
  report: DatasetReport;
  /** What a checkpoint says of them. */
  contents: RunData;
}

/** Reads the examples once, for the tokenizer and the limits of a model. */
export async function prepareData(
  settings: FinetuneSettings,
  {tokenizer, config}: {tokenizer: Tokenizer; config: LlamaConfig},
  fitted: FittedDefaults,
  context: Context,
): Promise<TrainingData> {
  const {console, given} = context;
  const {data, validation, validationSplit, fields, maxLength, packing, seed} = settings;
  const contents = await contentsOf(data, fields, console);
  const {examples} = contents;
  await noteData(data, examples, {tokenizer}, settings, context);
  const heldOut =
    validation === undefined ? Math.min(MAX_HELD_OUT, Math.ceil(examples * validationSplit)) : 0;
  if (examples > 0 && heldOut >= examples) {
    throw new UsageError(
      `finetune: ${data} has ${counted(examples, 'example')}, and a part of ${validationSplit} of them is held out, which leaves ` +
        'none to train on; give more examples, or others as --validation',
    );
  }
  const batchSize = packing
    ? settings.batchSize
    : fitted.atMost(
        'batchSize',
        settings.batchSize,
        Math.max(1, examples - heldOut),
        counted(examples - heldOut, 'example'),
      );
  const common = {fields, maxLength, batchSize, packing, seed, config};
  const datasetOf = (path: string, options: TextDatasetOptions): TextDataset =>
    asUsage(() => textDataset(path, tokenizer, {...common, ...options}));
  const training = ({repeat}: {repeat: boolean}): TextDataset =>
    datasetOf(data, {repeat, select: (i) => !isHeldOut(settings, i)});
  const heldOutPart = (): TextDataset =>
    datasetOf(validation ?? data, {
      shuffle: false,
      ...(validation === undefined && {
        select: (i) => isHeldOut(settings, i),
        limit: MAX_HELD_OUT,
      }),
    });

  const {steps, accumulate} = settings;
  const look = (
    dataset: TextDataset,
    name: string,
    total: number,
    more: {max?: number; hash?: Hash},
  ) => readExamples(dataset, {name, total, lengths: {maxLength, config}, ...more}, context);
  const max = steps === undefined ? Infinity : steps * accumulate;
  const report = await look(training({repeat: false}), data, examples - heldOut, {max});
  const hash = createHash('sha256');
  const validationContents =
    validation === undefined ? null : await contentsOf(validation, fields, console);
  if (validationContents) {
    await noteData(validation!, validationContents.examples, {tokenizer}, settings, context);
    noteSameData(settings, contents, validationContents, console);
  }
  const {used: heldOutExamples} = validationContents
    ? await look(heldOutPart(), `${validation!}, held out`, validationContents.examples, {hash})
    : await look(heldOutPart(), `${data}, held out`, heldOut, {hash});

  const all = {
    ...{training, heldOut: heldOutPart, heldOutExamples, batchSize, report, tokenizer},
    prompts: await heldOutPrompts(heldOutPart().prompts(), config),
    contents: {
      data: contents,
      heldOut: validationContents ?? validationSplit,
      heldOutTokens: hash.digest('hex'),
    },
    steps: stepsOf(settings, report.batches),
  };
  if (settings.warmup >= all.steps && settings.warmup > 0) {
    throw new UsageError(
      `${given.get('warmup')} must be below ${all.steps}, the steps of the run; got ${settings.warmup}`,
    );
  }
  return all;
}

/** Notes it if what is held out is what is trained on. */
export function noteSameData(
  {data, validation}: Pick<FinetuneSettings, 'data' | 'validation'>,
  training: DataContents,
  heldOut: DataContents,
  console: Pick<CommandConsole, 'note'>,
): void {
  if (training.sha256 !== heldOut.sha256) return;
  console.note(
    `${validation!} has the same examples as ${data}: the held-out loss will be that of examples that were trained on`,
  );
}
