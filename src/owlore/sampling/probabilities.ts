/** From a score per block to the probability that a block is trained in a sampling period. */

import {checkChoice, checkKnown, checkNumber, definedIn} from '../../common/options';
import {sayOnce} from '../../common/say_once';
import {readScores, type ScoresInput} from '../scores/scores';
import {sum} from './numbers';

const owner = 'samplingProbabilities';
export const probabilityMethods = ['waterfill', 'clip'] as const;

export type ProbabilityMethod = (typeof probabilityMethods)[number];

/** Options of `samplingProbabilities`. */
export interface SamplingProbabilityOptions {
  /** γ, the expected number of blocks that train at a time, in (0, number of blocks]. Default 5. */
  gamma?: number;
  /** What happens where γ·D/ΣD passes 1; see `samplingProbabilities`. Default `'waterfill'`. */
  method?: ProbabilityMethod;
  /** Part of the uniform distribution mixed in, in [0, 1]. Default 0, as in the paper. */
  floor?: number;
}

/** The defaults; γ is the paper's. */
export const probabilityDefaults = {
  gamma: 5,
  method: 'waterfill',
  floor: 0,
} as const satisfies Required<SamplingProbabilityOptions>;

/** The result of `samplingProbabilities`, as plain JSON. */
export interface SamplingProbabilities {
  /** The blocks' names, if the scores had them. */
  blocks?: string[];
  /** Probability in [0, 1] that the block trains in a period. */
  probabilities: number[];
  /** The share D/ΣD of each block after `floor`, sum 1: what the sampler `'choice'` draws by. */
  shares: number[];
  gamma: number;
  method: ProbabilityMethod;
  floor: number;
}

/**
 * The paper's sampling probabilities p = γ·D/ΣD, where D are the blocks' scores.
 *
 * ```ts
 * const probabilities = samplingProbabilities(await outlierScores(model, batches), {gamma: 5});
 * await model.fit(x, y, {callbacks: [new LayerSamplingCallback({probabilities})]});
 * ```
 *
 * The paper does not say what happens where p passes 1. `'waterfill'` raises all the others in
 * proportion, p = min(c·D, 1) with Σp = γ, so that γ stays the expected number of blocks; `'clip'` is
 * p = min(γ·D/ΣD, 1), which trains fewer. With `floor` f the shares are (1 − f)·D/ΣD + f/N before
 * they are scaled, so that no block starves.
 *
 * A block with D = 0 gets probability 0 unless `floor` > 0; one warning names these blocks.
 *
 * @param scores a result of `outlierScores` or another score function, bare numbers, or `{ratios}`.
 * @throws if an option is out of range, all scores are 0, or γ is above the number of blocks that
 *   can be chosen.
 */
export function samplingProbabilities(
  scores: ScoresInput,
  options: SamplingProbabilityOptions = {},
): SamplingProbabilities {
  checkKnown(owner, options, Object.keys(probabilityDefaults));
  const {gamma, method, floor} = {...probabilityDefaults, ...definedIn(options)};
  const {values, blocks} = readScores(scores, owner);
  checkNumber(owner, 'floor', floor, {min: 0, max: 1});
  checkChoice(owner, 'method', method, probabilityMethods);
  checkNumber(owner, 'gamma (the expected number of blocks that train)', gamma, {
    exclusiveMin: 0,
    max: values.length,
  });

  const shares = sharesOf(values, floor);
  if (floor === 0) warnOfStarvedBlocks(values, blocks);
  const probabilities =
    method === 'clip'
      ? shares.map((share) => Math.min(gamma * share, 1))
      : waterfill(shares, gamma);
  return {...(blocks && {blocks}), probabilities, shares, gamma, method, floor};
}

function sharesOf(values: readonly number[], floor: number): number[] {
  const total = sum(values);
  if (total === 0) {
    throw new Error(
      `${owner}: every score is 0, so no block would ever be trained; compute the outlier scores ` +
        `with a smaller tau, or with tau: 'auto'`,
    );
  }
  if (total === Infinity) {
    throw new Error(
      `${owner}: the scores add up to more than the largest number; divide all of them by the largest, ` +
        `${Math.max(...values)}`,
    );
  }
  return values.map((value) => (1 - floor) * (value / total) + floor / values.length);
}

/** min(c·share, 1) with the c that makes the sum γ. */
export function waterfill(shares: readonly number[], gamma: number): number[] {
  const descending = shares.filter((share) => share > 0).sort((a, b) => b - a);
  if (gamma > descending.length) {
    throw new Error(
      `${owner}: gamma must be <= ${descending.length}, the number of blocks with a score above 0, ` +
        `or floor > 0; got ${gamma}`,
    );
  }
  // Blocks that are always on, from the largest share down; the others share the rest of γ.
  let scale = 0;
  let smallestFull = Infinity;
  for (const [full, share] of descending.entries()) {
    scale = (gamma - full) / sum(descending.slice(full));
    if (scale * share < 1) break;
    smallestFull = share;
  }
  return shares.map((share) => (share >= smallestFull ? 1 : scale * share));
}

function warnOfStarvedBlocks(values: readonly number[], blocks?: readonly string[]): void {
  const starved = values.flatMap((value, i) => (value === 0 ? [blocks?.[i] ?? `#${i}`] : []));
  if (starved.length > 0) {
    sayOnce(
      'warn',
      `${owner}: blocks with score 0 have probability 0 and will never be trained unless ` +
        `floor > 0: ${starved.join(', ')}`,
    );
  }
}

/** Names of scores that need no calibration: the layer sampling of LISA (Pan et al., 2024) and its LISA-D variant. */
export const presetNames = ['uniform', 'decreasing'] as const;

export type PresetName = (typeof presetNames)[number];

/**
 * Scores of `count` blocks, shallow to deep, for `samplingProbabilities`.
 *
 * - `'uniform'` (LISA): 1 each, so that every block has the probability γ/N.
 * - `'decreasing'` (LISA-D): N, N − 1, …, 1. The paper asks for probabilities that fall from shallow to
 *   deep and gives no numbers; this library chose a straight line.
 */
export function presetScores(preset: PresetName, count: number): number[] {
  return Array.from({length: count}, (_, i) => (preset === 'uniform' ? 1 : count - i));
}
