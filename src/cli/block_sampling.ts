/** How a run draws the blocks that train: their scores, and the probabilities that follow from them. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {parseJsonText} from '../files/json';
import type {LayerSamplingOptions} from '../owlore/sampling/options';
import type {LlamaConfig, TextDataset} from '../llama/index';
import {needsScores, paperMethods, type MethodParts} from '../methods';
import {valuesOfCandidates, probabilitiesFromScores} from '../owlore/sampling/block_probabilities';
import {presetScores, type PresetName} from '../owlore/sampling/probabilities';
import {samplers} from '../owlore/sampling/samplers';
import {paperTau, type OutlierScores} from '../owlore/scores/outlier';
import {blockScores, scoreKinds, type ScoreKind} from '../owlore/scores/score_kinds';
import {readScores, type ScoresInput} from '../owlore/scores/scores';
import {CALIBRATION_BATCHES} from '../training_defaults';
import {watchedCalibration} from './calibration';
import type {Context} from './command';
import {drawsByScores, samplerOf, type FinetuneSettings} from './finetune_options';
import type {FittedDefaults, Sizes} from './fitted_defaults';
import {asUsage, UsageError} from './usage_error';
import {readUtf8} from './utf8_file';

/** How the blocks of a run are drawn. */
export interface BlockSampling {
  /** Options that replace the method's own, see `paperMethod`. */
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

/** What is scored. */
interface Scored {
  /** Names of the model's blocks, all of which can train. */
  blocks: readonly string[];
  /** What scores are computed from: the weights, and calibration data. Null: they are not there yet, and all blocks count as equal. */
  from: {model: tfl.LayersModel; dataset: TextDataset} | null;
}

/**
 * Checks how blocks are to be drawn, as far as that is known before the weights are.
 *
 * @throws UsageError if γ is above the number of blocks, or a file of scores is not one of this model.
 */
export function checkSampling(
  settings: FinetuneSettings,
  {numHiddenLayers: count}: LlamaConfig,
  context: Context,
): void {
  const {sampling}: MethodParts = paperMethods[settings.method];
  if (sampling === null) return;
  checkGamma(settings, count, 'the blocks of the model', context);
  checkNeverEmpty(settings, count, context);
  const {scores} = settings;
  const isComputed = scores === 'uniform' || Object.hasOwn(scoreKinds, scores);
  if (isComputed || !isScored(settings)) return;
  const blocks = Array.from({length: count}, (_, i) => `model.layers.${i}`);
  checkScored(settings, readScoreFile(scores, blocks).values, context);
}

/** Throws if a period may be without any block where nothing else trains. */
function checkNeverEmpty(settings: FinetuneSettings, count: number, {given}: Context): void {
  const {method, gamma: wanted} = settings;
  const {sampling}: MethodParts = paperMethods[method];
  if (sampling?.alwaysOn !== false) return;
  const gamma = wanted ?? sampling.gamma;
  const chances = Array.from({length: count}, () => gamma / count);
  const sampler = samplerOf(settings);
  if (!samplers[sampler].canBeEmpty({gamma, probabilities: chances, shares: chances})) return;
  throw new UsageError(
    `${given.get('sampler') ?? 'finetune: --sampler'} ${sampler} with --method ${method} and --gamma ${gamma} can leave a period without any ` +
      'block, and nothing else trains; use --sampler permutation, or exact with --gamma of at least 1',
  );
}

/** Whether the blocks are drawn by scores that the method does not have by itself. */
function isScored(settings: FinetuneSettings): boolean {
  const {sampling}: MethodParts = paperMethods[settings.method];
  return needsScores(sampling) && drawsByScores(settings);
}

/** @returns How many of the blocks can be drawn. */
function checkScored(
  settings: FinetuneSettings,
  values: readonly number[] | null,
  context: Context,
): number | undefined {
  const alive = values?.filter((score) => settings.floor > 0 || score > 0).length;
  if (alive) checkGamma(settings, alive, 'the blocks with a score above 0', context);
  return alive;
}

/** @returns null if the method trains all blocks. */
export async function chooseSampling(
  settings: FinetuneSettings,
  scored: Scored,
  sizes: Sizes,
  fitted: FittedDefaults,
  context: Context,
): Promise<BlockSampling | null> {
  const {method, seed, floor} = settings;
  const {sampling}: MethodParts = paperMethods[method];
  if (sampling === null) return null;
  const interval = fitted.interval(settings.interval, sizes);
  const found: FoundScores = isScored(settings)
    ? await findScores(settings, scored, fitted, context)
    : {scores: sampling.scores ?? 'uniform', values: null, title: null};
  const alive = checkScored(settings, found.values, context);
  const gamma = fitted.gamma(settings.gamma ?? sampling.gamma, sizes, alive);
  const sampler = samplerOf(settings);
  const names = {all: scored.blocks, candidates: scored.blocks};
  const probabilities = probabilitiesFromScores('finetune', found.scores, names, {
    ...{gamma, sampler, floor},
  });
  const {values, title, tau} = found;
  return {
    options: {
      ...(values ? {probabilities} : {scores: found.scores, floor}),
      ...{sampler, gamma, interval, seed},
    },
    probabilities: probabilities.probabilities,
    scores: values && (found.scores as object),
    scored: values && title !== null ? {title, values} : null,
    ...(tau !== undefined && {tau}),
  };
}

/** How blocks will be drawn, as far as that is known before the weights are. */
export function expectedSampling(
  settings: FinetuneSettings,
  blocks: readonly string[],
  steps: number,
  fitted: FittedDefaults,
  context: Context,
): Promise<BlockSampling | null> {
  const sizes = {blocks: blocks.length, steps};
  return chooseSampling(settings, {blocks, from: null}, sizes, fitted, context);
}

/** Whether blocks are drawn by scores that are computed from the weights. */
export function hasComputedScores(settings: FinetuneSettings): boolean {
  return isScored(settings) && Object.hasOwn(scoreKinds, settings.scores);
}

function checkGamma({gamma}: FinetuneSettings, max: number, what: string, {given}: Context): void {
  if (gamma === undefined || gamma <= max) return;
  throw new UsageError(`${given.get('gamma')} must be <= ${max}, ${what}; got ${gamma}`);
}

interface FoundScores {
  scores: ScoresInput | PresetName;
  /** One for each block; null where the method has scores of its own. */
  values: readonly number[] | null;
  title: string | null;
  tau?: number;
}

async function findScores(
  settings: FinetuneSettings,
  {blocks, from}: Scored,
  fitted: FittedDefaults,
  {console}: Context,
): Promise<FoundScores> {
  const {scores: name, tau} = settings;
  const isKind = Object.hasOwn(scoreKinds, name);
  if (name === 'uniform' || (isKind && !from)) {
    const values = presetScores('uniform', blocks.length);
    return {scores: {blocks, scores: values}, values, title: null};
  }
  if (!isKind || !from) return readScoreFile(name, blocks);
  const {model, dataset} = from;
  const kind = name as ScoreKind;
  const {title, needsData} = scoreKinds[kind];
  const calibration = needsData ? watchedCalibration(dataset, CALIBRATION_BATCHES, console) : [];
  const options = scoreKinds[kind].options.includes('tau') ? {tau} : {};
  const scores = await blockScores(kind, model, calibration, options);
  const {tau: used} = scores as Partial<OutlierScores>;
  if (used !== undefined) {
    fitted.instead('tau', paperTau, used, 'too few outliers above it');
  }
  return {scores, values: scores.scores, title, tau: used};
}

/** Scores of a file, in the order of the model's blocks. */
function readScoreFile(path: string, blocks: readonly string[]): FoundScores {
  return asUsage(() => {
    const scores = parseJsonText(path, readUtf8(path)) as ScoresInput;
    const {values, blocks: names} = readScores(scores, path);
    const {kind = ''} = scores as {kind?: string};
    const title = Object.hasOwn(scoreKinds, kind) ? scoreKinds[kind as ScoreKind].title : 'score';
    const all = {all: blocks, candidates: blocks};
    return {scores, values: valuesOfCandidates('finetune', 'scores', values, names, all), title};
  });
}
