import type {Random} from '../../../common/random';
import {sum} from '../numbers';

/** Draws once: the indices of the chosen blocks, ascending. */
export type Sampler = () => number[];

/** The part of the result of `samplingProbabilities` that blocks are drawn by; a sampler uses what it needs of it. */
export interface Chances {
  readonly probabilities: readonly number[];
  readonly shares: readonly number[];
  readonly gamma: number;
}

/** A way to draw the blocks of a period. */
export interface SamplerKind {
  /** Whether γ must be an integer, and at most the number of blocks that can be drawn. */
  readonly needsIntegerGamma: boolean;
  /** Whether the draws depend on the scores of the blocks; if not, all blocks are on equally often. */
  readonly usesScores: boolean;
  /** Makes a sampler. */
  create(chances: Chances, random: Random): Sampler;
  /** The probability that each of `count` blocks is on in a period; given if the sampler does not draw by `probabilities`. */
  marginal?(count: number, gamma: number): number;
  /** Whether a period can be without any block. */
  canBeEmpty(chances: Chances): boolean;
  /** How many times blocks are on in `periods` periods, summed over all blocks: the maximum, or the mean where chance decides. */
  visits(chances: Chances, periods: number): number;
}

/** {@link SamplerKind.visits} of a sampler that draws by `probabilities`; rounded, because their sum is only nearly right. */
export function expectedVisits({probabilities}: Chances, periods: number): number {
  return Math.round(periods * sum(probabilities));
}

/** The indices of the values for which `holds` is true. */
export function indicesWhere(
  values: readonly number[],
  holds: (value: number) => boolean,
): number[] {
  return values.flatMap((value, i) => (holds(value) ? [i] : []));
}
