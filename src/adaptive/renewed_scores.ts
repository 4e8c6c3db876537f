import type * as tfl from '@tensorflow/tfjs-layers';
import type {AdaptiveSampling} from '../layer_sampling_options';
import {checkKnown, checkNumber, definedIn} from '../options';
import {ofCandidates} from '../sampling/block_probabilities';
import {readScores, type ScoresInput} from '../scores/scores';
import {RuledSampling} from './adaptive_sampling';
import type {Seen} from './seen';

/** Options of {@link renewedScores}. */
export interface RenewedScoresOptions {
  /** Periods between two computations, ≥ 1. Default 10. */
  every?: number;
}

/**
 * Computes the scores anew during the training, from the weights as they are then.
 *
 * ```ts
 * const adaptive = renewedScores((model) => outlierScores(model, batches), {every: 10});
 * new LayerSamplingCallback({scores, gamma: 5, adaptive});
 * ```
 *
 * `fit` waits for the computation between two batches. A loop of your own awaits `adaptive.prepare(model, period)` before the
 * `callback.step()` that begins a period.
 *
 * @param compute Called with the model that is trained; for the first `every` periods the callback's own scores count.
 * @throws Error that names the option, its value and what is allowed.
 */
export function renewedScores(
  compute: (model: tfl.LayersModel) => Promise<ScoresInput>,
  options: RenewedScoresOptions = {},
): AdaptiveSampling {
  const owner = 'renewedScores';
  checkKnown(owner, options, ['every']);
  const {every} = {every: 10, ...definedIn(options)};
  checkNumber(owner, 'every', every, {min: 1, integer: true});
  const isDue = (period: number): boolean => period > 0 && period % every === 0;
  /** The period for which scores were computed last, and what had been seen by then: another training begins with nothing. */
  let computed: {seen: Seen; period: number} | null = null;
  return new RuledSampling({
    ...{kind: owner, settings: {every}, usesGradients: false},
    async prepare(seen, model, period, all) {
      if (!isDue(period)) return;
      const names = seen.probabilities?.blocks;
      if (!names || all.length === 0) {
        throw new Error(
          `${owner}: prepare(model, ${period}) comes before callback.attach(model) or the first period; it is for the period that ` +
            'callback.step() begins next',
        );
      }
      const {values, blocks} = readScores(await compute(model), owner);
      const scores = ofCandidates(owner, 'scores', values, blocks, {all, candidates: names});
      if (scores.every((score) => score === 0)) {
        throw new Error(
          `${owner}: every score for period ${period} is 0, so no block could be drawn; of outlier scores take a smaller tau, or 'auto'`,
        );
      }
      names.forEach((name, i) => (seen.values[name] = scores[i]!));
      // also of blocks that are frozen now: one that the user unfreezes is then weighed on the same scale
      const named = blocks ?? all;
      if (named.length === values.length)
        named.forEach((name, i) => (seen.values[name] = values[i]!));
      computed = {seen, period};
    },
    scores(seen, {blocks, shares}) {
      const {periods, values} = seen;
      const isThere = computed?.seen === seen && computed.period === periods;
      if (isDue(periods) && !isThere) {
        throw new Error(
          `${owner}: the scores for period ${periods} are missing; in a loop of your own, await adaptive.prepare(model, ${periods}) ` +
            'before the step that begins it',
        );
      }
      return blocks!.map((block, i) => values[block] ?? shares[i]!);
    },
  });
}
