/** The sampling probabilities of a model's blocks, where some blocks may be frozen. */

import {nearInteger, sum} from './numbers';
import {
  presetScores,
  probabilityDefaults,
  samplingProbabilities,
  waterfill,
  type PresetName,
  type SamplingProbabilities,
  type SamplingProbabilityOptions,
} from './probabilities';
import {asDrawn, samplers, type SamplerName} from './samplers';
import {readScores, type ScoresInput} from '../scores/scores';

/** Names of a model's blocks, in its order. */
export interface BlockNames {
  all: readonly string[];
  /** The blocks that have a weight to train; only these are drawn. */
  candidates: readonly string[];
}

/** How scores become probabilities: the options of `samplingProbabilities`, and what a callback has beyond them. */
export interface BlockProbabilityOptions extends Omit<SamplingProbabilityOptions, 'gamma'> {
  gamma: number | 'auto';
  sampler: SamplerName;
}

/**
 * A default γ for a model of `blocks` blocks; `drawable` of them can be drawn (those with a score above 0). It is `gamma` itself
 * where the model has room for it; else one less than `blocks`, so that each period leaves a block off, but at least 1.
 *
 * It is not less, because blocks that are mostly off learn slowly: a network with three hidden layers that learns the product
 * of two numbers had, after 960 steps of Adam (three seeds), a loss of 8e-5; with γ = 2 it was 1.4e-4, with γ = 1 7e-4.
 */
export function fittedGamma(gamma: number, blocks: number, drawable = blocks): number {
  return Math.min(gamma, Math.max(1, blocks - 1), drawable);
}

/**
 * The sampling probabilities of the blocks that can train, from scores of all blocks or of those blocks alone.
 *
 * @throws if the scores are for other blocks, or γ is more than can be drawn.
 */
export function probabilitiesFromScores(
  owner: string,
  scores: ScoresInput | PresetName,
  blocks: BlockNames,
  {gamma: wanted, sampler, method, floor = probabilityDefaults.floor}: BlockProbabilityOptions,
): SamplingProbabilities {
  const {candidates} = blocks;
  const given = scoresOf(owner, scores, blocks);
  const values = samplers[sampler].usesScores ? given : candidates.map(() => 1);
  checkScored(owner, values, blocks);
  const scored = candidates.filter((_, i) => floor > 0 || values[i]! > 0);
  // If no block has a score above 0, samplingProbabilities says what to do.
  const drawable = scored.length > 0 ? scored : candidates;
  const gamma =
    wanted === 'auto'
      ? fittedGamma(probabilityDefaults.gamma, candidates.length, drawable.length)
      : wanted;
  checkGamma(owner, gamma, drawable, blocks);
  const sampling = samplingProbabilities(
    {scores: values, blocks: candidates},
    {gamma, method, floor},
  );
  return asDrawn(sampler, sampling);
}

/**
 * The probabilities of the blocks that can train, from given probabilities of all blocks or of those blocks alone. Blocks that
 * cannot train give theirs to the others in proportion, so that as many blocks are on as before, if there are enough.
 *
 * @throws if they are for other blocks, are not probabilities, or are 0 for every block that can train.
 */
export function probabilitiesAsGiven(
  owner: string,
  given: readonly number[] | SamplingProbabilities,
  blocks: BlockNames,
  sampler: SamplerName,
): SamplingProbabilities {
  const isResult = 'probabilities' in given;
  const all = isResult ? given.probabilities : given;
  const names = isResult ? given.blocks : undefined;
  const values = valuesOfCandidates(owner, 'probabilities', all, names, blocks);
  const {candidates} = blocks;
  if (!all.every((p) => p >= 0 && p <= 1) || sum(values) === 0) {
    const which =
      values.length < all.length ? ` for the blocks that can train (${candidates.join(', ')})` : '';
    throw new Error(
      `${owner}: probabilities must be numbers >= 0 and <= 1, not all 0${which}; got [${all.join(', ')}]`,
    );
  }
  const shares = values.map((value) => value / sum(values));
  const drawable = values.filter((value) => value > 0).length;
  const gamma = Math.min(nearInteger(sum(all)), drawable);
  const probabilities = values.length < all.length ? waterfill(shares, gamma) : values;
  // already mixed in here; what changes the probabilities later mixes it in anew
  const floor = isResult ? given.floor : 0;
  const sampling = {probabilities, shares, gamma, method: 'clip', floor} as const;
  return asDrawn(sampler, {blocks: [...candidates], ...sampling});
}

/** A message about a γ that is not the paper's because the model has no room for it; null if it is the paper's. */
export function fittedGammaLine(
  owner: string,
  {gamma, blocks, shares}: SamplingProbabilities,
): string | null {
  const {gamma: paperGamma} = probabilityDefaults;
  if (gamma === paperGamma) return null;
  const drawable = blocks!.filter((_, i) => shares[i]! > 0);
  const count = blocks!.length;
  const why =
    count === 1
      ? `one block can train (${names(drawable)})`
      : drawable.length < count
        ? `${drawable.length} of ${count} blocks have a score above 0 (${names(drawable)})`
        : `of ${count} blocks (${names(drawable)}) each period leaves one off`;
  return `${owner}: gamma ${paperGamma} → ${gamma}: ${why}`;
}

/** The values of the blocks that can train, in their order; throws if they are for other blocks. */
export function valuesOfCandidates(
  owner: string,
  what: string,
  values: readonly number[],
  valueNames: readonly string[] | undefined,
  {all, candidates}: BlockNames,
): number[] {
  const help = 'compute them with the same model and the same blocks option';
  if (!valueNames) {
    if (values.length === candidates.length) return [...values];
    if (values.length === all.length) return candidates.map((name) => values[all.indexOf(name)]!);
    throw new Error(
      `${owner}: ${what} are for ${values.length} blocks, the model has ${all.length} (${names(all)}); ${help}`,
    );
  }
  const missing = candidates.find((name) => !valueNames.includes(name));
  const foreign = valueNames.find((name) => !all.includes(name));
  if (missing !== undefined || foreign !== undefined) {
    const wrong = missing === undefined ? `a block '${foreign}'` : `no block '${missing}'`;
    throw new Error(
      `${owner}: ${what} have ${wrong}; they are for ${names(valueNames)}, the model has ${names(all)}; ${help}`,
    );
  }
  return candidates.map((name) => values[valueNames.indexOf(name)]!);
}

/** The scores of the blocks that can train; throws if they are for other blocks. */
export function scoresOf(
  owner: string,
  scores: ScoresInput | PresetName,
  blocks: BlockNames,
): number[] {
  if (typeof scores === 'string') return presetScores(scores, blocks.candidates.length);
  const {values, blocks: valueNames} = readScores(scores, owner);
  return valuesOfCandidates(owner, 'scores', values, valueNames, blocks);
}

/** Throws if only blocks without a trainable weight have a score above 0. */
function checkScored(
  owner: string,
  values: readonly number[],
  {all, candidates}: BlockNames,
): void {
  if (candidates.length === all.length || values.some((value) => value > 0)) return;
  throw new Error(
    `${owner}: every score of the blocks that can train (${names(candidates)}) is 0; the other blocks have no trainable ` +
      "weight; give other scores, or scores: 'uniform'",
  );
}

function checkGamma(
  owner: string,
  gamma: number,
  drawable: readonly string[],
  {all, candidates}: BlockNames,
): void {
  if (gamma <= drawable.length) return;
  const kinds = [
    ...(candidates.length < all.length ? ['a trainable weight'] : []),
    ...(drawable.length < candidates.length ? ['a score above 0 (or floor > 0)'] : []),
  ];
  const which = kinds.length > 0 ? `blocks with ${kinds.join(' and ')}` : 'blocks of the model';
  throw new Error(
    `${owner}: gamma must be <= ${drawable.length}, the number of ${which}: ${names(drawable)}; got ${gamma}`,
  );
}

function names(blocks: readonly string[]): string {
  return blocks.join(', ');
}
