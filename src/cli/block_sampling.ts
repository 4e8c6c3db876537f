/** How a run draws the blocks that train: their scores, and the probabilities that follow from them. */
import {readFileSync} from 'node:fs';
import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerSamplingOptions} from '../layer_sampling_options';
import {ofCandidates, probabilitiesFromScores} from '../sampling/block_probabilities';
import {outlierDefaults, type OutlierScores} from '../scores/outlier';
import {readScores, type ScoresInput} from '../scores/scores';
import type {TextDataset} from '../llama/index';
import {scoreBlocks, scoreTitles, type ScoreKind} from './block_scores';
import {CALIBRATION_BATCHES, watchedCalibration} from './calibration';
import type {Context} from './command';
import type {FinetuneSettings} from './finetune_options';
import type {FittedDefaults, Sizes} from './fitted_defaults';
import {methods, presetSampling} from './methods';
import {asUsage, UsageError} from './usage_error';

/** How the blocks of a run are drawn. */
export interface BlockSampling {
  /** For `LayerSamplingCallback`. */
  options: LayerSamplingOptions & {gamma: number; interval: number};
  /** One for each block. */
  probabilities: readonly number[];
  /** Plain JSON; null where nothing is scored. */
  scores: object | null;
  /** What the report calls the scores, and one for each block; null where nothing is scored. */
  scored: {title: string; values: readonly number[]} | null;
  /** Of outlier scores: the tau in use. */
  tau?: number;
}

/** What scores are computed of. */
interface Scored {
  model: tfl.LayersModel;
  /** Names of the model's blocks, all of which can train. */
  blocks: readonly string[];
  /** Calibration data. */
  dataset: TextDataset;
}

/** @returns null if the method trains all blocks. */
export async function chooseSampling(
  settings: FinetuneSettings,
  scored: Scored,
  sizes: Sizes,
  fitted: FittedDefaults,
  context: Context,
): Promise<BlockSampling | null> {
  const {method, seed} = settings;
  const parts = methods[method];
  if (parts.sampling === null) return null;
  checkGamma(settings, sizes, context);
  const interval = fitted.interval(settings.interval, sizes);
  const names = {all: scored.blocks, candidates: scored.blocks};
  if (parts.sampling !== 'scores') {
    const preset = presetSampling[parts.sampling];
    const gamma = fitted.gamma(settings.gamma ?? parts.gamma, sizes);
    const {sampler = 'exact'} = preset as LayerSamplingOptions;
    const {probabilities} = probabilitiesFromScores(preset.scores, names, {gamma, sampler});
    return {
      options: {...preset, gamma, interval, seed},
      probabilities,
      scores: null,
      scored: null,
    };
  }
  const found = await findScores(settings, scored, fitted, context);
  const alive = found.values.filter((score) => score > 0).length;
  const gamma = fitted.gamma(settings.gamma ?? parts.gamma, sizes, alive);
  const probabilities = probabilitiesFromScores(found.scores, names, {gamma, sampler: 'exact'});
  return {
    options: {probabilities, gamma, interval, seed},
    probabilities: probabilities.probabilities,
    scores: found.scores,
    scored: found.title === null ? null : {title: found.title, values: found.values},
    ...(found.tau !== undefined && {tau: found.tau}),
  };
}

function checkGamma({gamma}: FinetuneSettings, {blocks}: Sizes, {given}: Context): void {
  if (gamma === undefined || gamma <= blocks) return;
  throw new UsageError(
    `${given.get('gamma')} must be <= ${blocks}, the blocks of the model; got ${gamma}`,
  );
}

interface FoundScores {
  scores: ScoresInput;
  values: readonly number[];
  title: string | null;
  tau?: number;
}

async function findScores(
  settings: FinetuneSettings,
  {model, blocks, dataset}: Scored,
  fitted: FittedDefaults,
  {console}: Context,
): Promise<FoundScores> {
  const {scores: name, tau} = settings;
  if (name === 'uniform') {
    const values = blocks.map(() => 1);
    return {scores: {blocks, scores: values}, values, title: null};
  }
  if (!(name in scoreTitles)) return readScoreFile(name, blocks);
  const kind = name as ScoreKind;
  const calibration = () => watchedCalibration(dataset, CALIBRATION_BATCHES, console);
  const scores = await scoreBlocks(kind, model, calibration, {
    ...(kind === 'outlier' && {tau}),
  });
  const found = {scores, values: scores.scores, title: scoreTitles[kind]};
  if (kind !== 'outlier') return found;
  const {tau: used} = scores as OutlierScores;
  fitted.instead('tau', outlierDefaults.tau, used, 'too few outliers above it');
  return {...found, tau: used};
}

/** Scores of a file, in the order of the model's blocks. */
function readScoreFile(path: string, blocks: readonly string[]): FoundScores {
  return asUsage(() => {
    const scores = parse(path);
    const {values, blocks: names} = readScores(scores, path);
    const {kind} = scores as {kind?: ScoreKind};
    const title = (kind && scoreTitles[kind]) ?? 'score';
    const all = {all: blocks, candidates: blocks};
    return {scores, values: ofCandidates('scores', values, names, all), title};
  });
}

function parse(path: string): ScoresInput {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ScoresInput;
  } catch (cause) {
    throw new Error(`${path} is not JSON: ${(cause as Error).message}`, {cause});
  }
}
