/** How the blocks of a training are drawn. */
import type * as tfl from '@tensorflow/tfjs-layers';
import type {TextBatch} from '../llama/index';
import {needsScores, paperMethods, type MethodParts} from '../methods';
import {resolveBlocks} from '../model/blocks';
import {fittedGamma, probabilitiesFromScores} from '../owlore/sampling/block_probabilities';
import type {LayerSamplingOptions} from '../owlore/sampling/options';
import {fittedInterval} from '../owlore/sampling/periods';
import {presetScores} from '../owlore/sampling/probabilities';
import {layerSamplingDefaults} from '../owlore/sampling/options';
import type {CalibrationBatch} from '../owlore/scores/calibration';
import {blockScores, scoreKinds} from '../owlore/scores/score_kinds';
import {CALIBRATION_BATCHES} from '../training_defaults';
import type {BlockInfo} from './events';
import {nextTurn} from '../common/next_turn';
import type {Settings} from './settings';

/** How blocks are drawn. */
export interface Sampling {
  blocks: BlockInfo[];
  /** Options of `paperMethod`; none where all blocks train. */
  options: LayerSamplingOptions;
  /** What blocks were scored by; null where they were not. */
  scores: readonly number[] | null;
  /** In words, why a block is on. */
  why: string;
}

/**
 * @param known The scores, if they were computed before.
 * @param onBatch Called with how many batches the model has read for its scores, and with how many it will read.
 */
export async function chooseSampling(
  owner: string,
  settings: Settings,
  model: tfl.LayersModel,
  {steps, batches}: {steps: number; batches: () => AsyncIterable<TextBatch>},
  known: readonly number[] | null,
  onBatch: (done: number, total: number) => void,
): Promise<Sampling> {
  const {method, seed, interval = fittedInterval(steps), scores: kind} = settings;
  const {sampling}: MethodParts = paperMethods[method];
  const names = resolveBlocks(model).map(({name}) => name);
  if (sampling === null)
    return {
      blocks: names.map((name) => ({name, score: null, probability: 1})),
      ...{options: {}, scores: null, why: 'all blocks train'},
    };
  const isScored = needsScores(sampling);
  const values = !isScored
    ? null
    : (known ??
      (kind === 'uniform'
        ? presetScores('uniform', names.length)
        : (
            await blockScores(
              kind,
              model,
              scoreKinds[kind].needsData ? calibration(batches(), onBatch) : [],
            )
          ).scores));
  const drawable = values?.filter((score) => score > 0).length ?? names.length;
  const gamma =
    settings.gamma ?? fittedGamma(sampling.gamma, names.length, drawable || names.length);
  const sampler = sampling.sampler ?? layerSamplingDefaults.sampler;
  const scores = values ? {blocks: names, scores: values} : (sampling.scores ?? 'uniform');
  const probabilities = probabilitiesFromScores(
    owner,
    scores,
    {all: names, candidates: names},
    {gamma, sampler, floor: layerSamplingDefaults.floor},
  );
  const by = values
    ? kind === 'uniform'
      ? 'each as probable as any other'
      : `by their ${scoreKinds[kind].title}`
    : {uniform: 'each as probable as any other', decreasing: 'the first ones more often'}[
        sampling.scores as 'uniform' | 'decreasing'
      ];
  return {
    blocks: names.map((name, i) => ({
      name,
      score: values?.[i] ?? null,
      probability: probabilities.probabilities[i]!,
    })),
    options: {...(values ? {probabilities} : {scores}), sampler, gamma, interval, seed},
    scores: values,
    why: `${gamma} of ${names.length} drawn, ${by}, for ${interval} steps`,
  };
}

/** The first batches. The consumer disposes of the tensors. */
async function* calibration(
  dataset: AsyncIterable<TextBatch>,
  onBatch: (done: number, total: number) => void,
): AsyncGenerator<CalibrationBatch> {
  let done = 0;
  onBatch(0, CALIBRATION_BATCHES);
  for await (const batch of dataset) {
    yield batch;
    onBatch(++done, CALIBRATION_BATCHES);
    await nextTurn();
    if (done === CALIBRATION_BATCHES) break;
  }
}
