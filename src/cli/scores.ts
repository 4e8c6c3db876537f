/** `tfjs-owlore scores`: how much each block of a model matters. */
import {writeFileSync} from 'node:fs';
import {jsonText} from '../llama/files/json';
import {textDataset} from '../llama/index';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {seedRange} from '../options';
import {
  outlierDefaults,
  outlierGranularities,
  type OutlierGranularity,
  type OutlierScores,
} from '../scores/outlier';
import type {BlockScores} from '../scores/scores';
import {scoreBlocks, scoreKinds, scoreTitles, type ScoreKind} from './block_scores';
import {CALIBRATION_BATCHES, watchedCalibration} from './calibration';
import {defineCommand, type Context} from './command';
import {dataOptions, tau} from './data_options';
import {noteDataProblems} from './data_problems';
import {loadModel, loadModelAlone, modelOptions} from './model_options';
import {
  choice,
  fileOrUrl,
  group,
  number,
  outputFile,
  refuseMeaningless,
  type SettingsOf,
} from './options';
import {bar, newTable} from './table';
import {UsageError} from './usage_error';

const options = {
  ...modelOptions,
  ...group('Scores', {
    kind: choice<ScoreKind, ScoreKind>('which scores', scoreKinds, 'outlier'),
    tau,
    granularity: choice<OutlierGranularity, OutlierGranularity>(
      'what outliers are compared with, the mean of the block or of their own weight',
      outlierGranularities,
      outlierDefaults.granularity,
    ),
    output: outputFile('where the scores go, as JSON'),
  }),
  ...group('Data', {
    data: fileOrUrl('texts that the model reads; relative magnitudes take none'),
    batches: number('how many batches of them', {
      integer: true,
      min: 1,
      default: CALIBRATION_BATCHES,
    }),
    ...dataOptions,
    seed: number('of the choice of texts', {...seedRange, default: textDatasetDefaults.seed}),
  }),
};

type Settings = SettingsOf<typeof options>;

export const scores = defineCommand({
  name: 'scores',
  summary: 'Says how much each block of a model matters.',
  examples: [
    ['outliers of each block', 'scores --model demo/model --data train.jsonl --output scores.json'],
    ['weights alone, no data', 'scores --model demo/model --kind relativeMagnitude'],
  ],
  options,
  async run(settings, context) {
    const {kind, data, output} = settings;
    refuseMeaningless(context.given, meaningless(settings));
    if (needsData(kind) && data === undefined) {
      throw new UsageError(`scores: --kind ${kind} needs --data, a jsonl file of texts`);
    }
    const result = await (needsData(kind) ? ofTexts : ofWeights)(settings, context);
    print(result, context);
    if (output !== undefined) {
      writeFileSync(output, jsonText(result));
      context.console.note(`Scores: ${output}`);
    }
    return result;
  },
});

function needsData(kind: ScoreKind): boolean {
  return kind !== 'relativeMagnitude';
}

function meaningless({kind}: Settings): Record<string, string | undefined> {
  const byKind = `--kind ${kind}`;
  const ofOutliers = kind === 'outlier' ? undefined : byKind;
  const ofData = needsData(kind) ? undefined : byKind;
  const names = ['data', 'batches', 'seed', ...Object.keys(dataOptions)];
  return {
    tau: ofOutliers,
    granularity: ofOutliers,
    ...Object.fromEntries(names.map((name) => [name, ofData])),
  };
}

async function ofWeights(settings: Settings, context: Context): Promise<BlockScores> {
  const {model} = await loadModelAlone(settings, context);
  try {
    return await scoreBlocks(settings.kind, model, () => []);
  } finally {
    model.dispose();
  }
}

async function ofTexts(settings: Settings, context: Context): Promise<BlockScores> {
  const {kind, tau, granularity, batches, format, maxLength, batchSize, packing, seed} = settings;
  const {console} = context;
  const data = settings.data!;
  const {model, tokenizer, config} = await loadModel(settings, context);
  try {
    const dataset = textDataset(data, tokenizer, {
      ...{format, maxLength, batchSize, packing, seed, config},
    });
    const calibration = () => watchedCalibration(dataset, batches, console);
    const options = kind === 'outlier' ? {tau, granularity} : {};
    const result = await scoreBlocks(kind, model, calibration, options);
    const {report} = dataset;
    noteDataProblems(console, data, report);
    if (report.batches < batches) console.note(`${data}: ${report.batches} batches are all it has`);
    return result;
  } finally {
    model.dispose();
  }
}

function print(result: BlockScores, {console}: Context): void {
  const {kind, blocks, scores} = result;
  const largest = Math.max(...scores);
  const table = newTable(['block', scoreTitles[kind], ''], [1]);
  blocks.forEach((block, i) => {
    const score = scores[i]!;
    const shown = kind === 'outlier' ? `${(100 * score).toFixed(4)} %` : score.toFixed(4);
    table.push([block, shown, bar(largest === 0 ? 0 : score / largest)]);
  });
  const {tau} = result as Partial<OutlierScores>;
  if (tau !== undefined) console.print(`Outliers are above ${tau} times the mean of their block.`);
  console.print(table.toString());
}
