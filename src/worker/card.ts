/** What the model card of a trained model says. */
import type {ModelCard} from '../llama/index';
import {needsScores, paperMethods, trainsRest, type MethodParts} from '../methods';
import type {HistoryEntry, RunOptions} from './events';

/**
 * The card of a model that has made some of the steps of its run; base model and license are those of the model that was loaded.
 *
 * @param options Those of the run, of which it has what decides what the model learns.
 * @param data Names of the files of examples.
 * @param said Of its steps.
 */
export function cardOf(
  options: RunOptions,
  data: readonly string[],
  said: readonly HistoryEntry[],
  {step, steps}: {step: number; steps: number},
): ModelCard {
  const method = options.method ?? 'owlore';
  const {title, lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const {gamma, interval, scores, rank, refreshInterval, embedding, dataset} = options;
  const {learningRate, schedule, warmup, batchSize, accumulate, maxLength, seed} = options;
  const settings = {
    ...(sampling && {gamma, interval}),
    ...(needsScores(sampling) && {scores}),
    ...((lowRank || lora) && {rank}),
    ...(lowRank && {refreshInterval}),
    ...(trainsRest(method) && {embedding}),
    ...{learningRate, schedule, warmup, batchSize, accumulate, maxLength},
    ...{packing: dataset?.packing, seed},
  };
  const known = Object.entries(settings).filter(([, value]) => value !== undefined);
  const heldOut = said.flatMap(({event, data}) => (event === 'heldOut' ? [data] : []));
  const losses = [heldOut[0], heldOut.at(-1)].flatMap((measured) =>
    measured ? [[`held-out loss after step ${measured.step}`, measured.loss.toFixed(4)]] : [],
  );
  return {
    method: title,
    tags: [method],
    data,
    settings: Object.fromEntries(known) as Record<string, string | number | boolean>,
    figures: {
      ...(Object.fromEntries(losses) as Record<string, string>),
      steps: step < steps ? `${step} of ${steps}` : step,
    },
  };
}
