import type {Random} from '../../random';

/** Draws once: the indices of the chosen blocks, ascending. */
export type Sampler = () => number[];

/** What blocks are drawn by, of the result of `samplingProbabilities`; a sampler heeds what it needs of it. */
export interface Chances {
  readonly probabilities: readonly number[];
  readonly shares: readonly number[];
  readonly gamma: number;
}

/** A way to draw the blocks of a period. */
export interface SamplerKind {
  /** Whether γ must be an integer, and at most the number of blocks that can be drawn. */
  readonly needsIntegerGamma: boolean;
  /** Whether the draws heed the scores of the blocks; if not, all blocks are on equally often. */
  readonly heedsScores: boolean;
  /** Makes a sampler. */
  create(chances: Chances, random: Random): Sampler;
  /** The probability that a block is on in a period, for a sampler that does not draw by `probabilities`; `count` blocks are drawn from. */
  marginal?(count: number, gamma: number): number;
  /** Whether a period can be without any block. */
  canBeEmpty(chances: Chances): boolean;
  /** How many times blocks are on in a number of periods, all blocks together: at most, or on average where chance decides. */
  visits(chances: Chances, periods: number): number;
}

/** {@link SamplerKind.visits} of a sampler that draws by `probabilities`; rounded, because their sum is only nearly right. */
export function expectedVisits({probabilities}: Chances, periods: number): number {
  return Math.round(periods * probabilities.reduce((sum, p) => sum + p, 0));
}

/** The indices of the values that `holds` is true for. */
export function indicesWhere(
  values: readonly number[],
  holds: (value: number) => boolean,
): number[] {
  return values.flatMap((value, i) => (holds(value) ? [i] : []));
}
