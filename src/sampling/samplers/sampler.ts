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
  /** Whether the draws heed the scores of the blocks; else each block counts as much as any other. */
  readonly heedsScores: boolean;
  /** Makes a sampler. */
  create(chances: Chances, random: Random): Sampler;
  /** The probability that a block is on in a period, where it is another than `probabilities` has; by the number of blocks. */
  marginal?(count: number, gamma: number): number;
  /** Whether a period can be without any block. */
  canBeEmpty(chances: Chances): boolean;
  /** How many blocks so many periods have on, added up: as many as it can be, or in the mean where chance decides. */
  visits(chances: Chances, periods: number): number;
}

/** {@link SamplerKind.visits} where the blocks are on with their probabilities; whole ones, for the sum of these is rounded. */
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
