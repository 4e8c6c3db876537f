/** `tfjs-owlore scores`: how much each block of a model matters. */
import {jsonText} from '../files/json';
import {textDataset, type TextDataset} from '../llama/index';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {seedRange} from '../common/options';
import {
  outlierDefaults,
  outlierGranularities,
  type OutlierGranularity,
  type OutlierScores,
} from '../owlore/scores/outlier';
import {blockScores, scoreKinds, scoreNames, type ScoreKind} from '../owlore/scores/score_kinds';
import type {BlockScores} from '../owlore/scores/scores';
import {CALIBRATION_BATCHES} from '../training_defaults';
import {watchedCalibration} from './calibration';
import {defineCommand, type Context} from './command';
import {dataOptions, tau} from './data_options';
import {loadModelAlone, locate, modelOptions, openModel} from './model_options';
import {choice, fileOrUrl, group, number, outputFile, type SettingsOf} from './options';
import {checkOutputFile, openOutputFile, overwrite, unwritable} from './output_file';
import {readExamples} from './read_examples';
import {bar, newTable} from './table';
import {UsageError} from './usage_error';
import {counted} from './words';

const options = {
  ...modelOptions,
  ...group('Scores', {
    kind: choice<ScoreKind, ScoreKind>('which scores', scoreNames, 'outlier'),
    tau,
    granularity: choice<OutlierGranularity, OutlierGranularity>(
      'whose mean outliers are compared with: that of the block, or of each layer in it',
      outlierGranularities,
      outlierDefaults.granularity,
    ),
    output: outputFile('the file to write the scores to, as JSON'),
    overwrite,
  }),
  ...group('Data', {
    data: fileOrUrl('texts that the model reads; relative magnitudes take none'),
    batches: number('batches of data that the model reads', {
      integer: true,
      min: 1,
      default: CALIBRATION_BATCHES,
    }),
    ...dataOptions,
    seed: number('seed of the choice of texts', {...seedRange, default: textDatasetDefaults.seed}),
  }),
};

type Settings = SettingsOf<typeof options>;

export const scores = defineCommand({
  name: 'scores',
  summary: 'Scores how much each block of a model matters.',
  examples: [
    [
      'outliers of each block',
      'scores --model HuggingFaceTB/SmolLM2-135M-Instruct --data train.jsonl --output scores.json',
    ],
    [
      'weights alone, no data',
      'scores --model HuggingFaceTB/SmolLM2-135M-Instruct --kind relativeMagnitude',
    ],
  ],
  options,
  meaningless,
  async run(settings, context) {
    const {kind, data, output} = settings;
    const {needsData} = scoreKinds[kind];
    if (needsData && data === undefined) {
      throw new UsageError(`scores: --kind ${kind} needs --data, a file of texts`);
    }
    checkOutputFile(settings, context);
    const result = await (needsData ? scoresOfTexts : scoresOfWeights)(settings, context);
    if (output !== undefined) {
      try {
        const file = await openOutputFile(output, settings.overwrite);
        try {
          file.write(jsonText(result));
          file.close();
        } catch (error) {
          file.abort();
          throw error;
        }
      } catch (cause) {
        throw unwritable('scores', output, cause);
      }
      context.console.note(`Scores: ${output}`);
    }
    // after the file is there: whoever reads what is printed may stop
    print(result, context);
    return result;
  },
});

/** Options that only some kinds of scores have. */
const ownOptions = ['tau', 'granularity'] as const;

function meaningless({kind, output}: Settings): Record<string, string> {
  const {needsData, options} = scoreKinds[kind];
  const dataOptionNames = needsData
    ? []
    : ['data', 'batches', 'seed', 'chatTemplate', ...Object.keys(dataOptions)];
  const otherKinds = ownOptions.filter((name) => !options.includes(name));
  return {
    ...Object.fromEntries(
      [...otherKinds, ...dataOptionNames].map((name) => [name, `--kind ${kind}`]),
    ),
    ...(output === undefined && {overwrite: 'no --output'}),
  };
}

/** Those of the settings that are options of the kind of score. */
function scoreOptions(settings: Settings): object {
  const {options} = scoreKinds[settings.kind];
  const names = ownOptions.filter((name) => options.includes(name));
  return Object.fromEntries(names.map((name) => [name, settings[name]]));
}

async function scoresOfWeights(settings: Settings, context: Context): Promise<BlockScores> {
  const {model} = await loadModelAlone(settings, await locate(settings, context), context);
  try {
    return await blockScores(settings.kind, model, [], scoreOptions(settings));
  } finally {
    model.dispose();
  }
}

async function scoresOfTexts(settings: Settings, context: Context): Promise<BlockScores> {
  const {kind, batches, fields, maxLength, batchSize, packing, seed} = settings;
  const {console} = context;
  const data = settings.data!;
  const opened = await openModel(settings, context);
  const {tokenizer, config} = opened;
  // the batches of texts are tensors
  await context.selectBackend(settings.backend);
  const texts = (): TextDataset =>
    textDataset(data, tokenizer, {...{fields, maxLength, batchSize, packing, seed, config}});
  const reading = {name: data, total: batches * batchSize, lengths: {maxLength, config}};
  const report = await readExamples(texts(), {...reading, max: batches}, context);
  if (report.batches < batches)
    console.note(`${data}: it has no more than ${counted(report.batches, 'batch', 'batches')}`);
  const {model} = await loadModelAlone(settings, opened, context);
  try {
    const calibration = watchedCalibration(texts(), report.batches, console);
    return await blockScores(kind, model, calibration, scoreOptions(settings));
  } finally {
    model.dispose();
  }
}

function print(result: BlockScores, {console}: Context): void {
  const {blocks, scores} = result;
  const {title, isRatio} = scoreKinds[result.kind as ScoreKind];
  const largest = Math.max(...scores);
  const table = newTable(['block', title, ''], [1]);
  blocks.forEach((block, i) => {
    const score = scores[i]!;
    const shown = isRatio ? `${(100 * score).toFixed(4)} %` : score.toFixed(4);
    table.push([block, shown, bar(largest === 0 ? 0 : score / largest)]);
  });
  const {tau} = result as Partial<OutlierScores>;
  if (tau !== undefined) console.print(`Outliers are above ${tau} times the mean of their block.`);
  console.print(table.toString());
}
