/** The blocks of one period after the other: newly drawn, or replayed from an earlier run. */

import {display} from '../../common/options';
import {createRandom} from '../../common/random';
import type {BlockNames} from './block_probabilities';
import type {SamplingProbabilities} from './probabilities';
import {createSampler, type SamplerName} from './samplers';

/** Which blocks were on in each period: the history of a run as JSON, which a callback can replay. */
export interface BlockHistory {
  /** The model's blocks, in its order. */
  blocks: string[];
  /** Steps in a period. */
  interval: number;
  /** Names of the blocks that were on, one list per period. */
  periods: string[][];
}

/** Steps of a period in the paper. */
export const paperInterval = 50;

/**
 * The steps of a period in a run: the paper's, or in a shorter run so many that it has ten periods, in which draws can come near their
 * probabilities, but at least 10.
 *
 * @param steps Those of the run; null: nobody knows.
 */
export function fittedInterval(steps: number | null): number {
  if (steps === null) return paperInterval;
  return Math.min(paperInterval, Math.max(10, Math.floor(steps / 10)));
}

/** Gives the names of the blocks of period `period` = 0, 1, …; must be called for one period after the other. */
export type BlocksOfPeriod = (period: number) => string[];

/**
 * Draws by probabilities, from period `first` on: the draws for earlier periods are made and thrown away. Without
 * probabilities there is nothing to draw.
 */
export function drawnPeriods(
  sampling: SamplingProbabilities | null,
  {sampler, seed}: {sampler: SamplerName; seed: number},
  first: number,
): BlocksOfPeriod {
  if (!sampling) return () => [];
  const draw = createSampler(sampler, sampling, createRandom(seed));
  for (let period = 0; period < first; period++) draw();
  return () => draw().map((index) => sampling.blocks![index]!);
}

/** Replays a history, which must be of the same blocks; blocks that cannot train stay off. */
export function replayedPeriods(
  owner: string,
  history: BlockHistory,
  {all, candidates}: BlockNames,
): BlocksOfPeriod {
  checkSameBlocks(owner, history, all);
  return (period) => periodOf(owner, history, period).filter((name) => candidates.includes(name));
}

/** The blocks of period `period` = 0, 1, … of a history; throws past the end. */
export function periodOf(
  owner: string,
  {periods, interval}: BlockHistory,
  period: number,
): string[] {
  const names = periods[period];
  if (names) return names;
  throw new Error(
    `${owner}: the blockHistory has ${periods.length} periods of ${interval} steps and ends before step ` +
      `${period * interval + 1}; train for fewer steps, or leave blockHistory out to draw anew`,
  );
}

/** Throws unless `history`, the option `blockHistory`, has the form of {@link BlockHistory}. */
export function checkHistory(owner: string, history: unknown): asserts history is BlockHistory {
  const {blocks, interval, periods} = (history ?? {}) as Partial<BlockHistory>;
  const isNames = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((name) => typeof name === 'string');
  if (
    !isNames(blocks) ||
    !Number.isInteger(interval) ||
    interval! < 1 ||
    !Array.isArray(periods) ||
    !periods.every(isNames)
  ) {
    throw new Error(
      `${owner}: blockHistory must be {blocks: string[], interval: an integer >= 1, periods: string[][]}, as ` +
        `callback.blockHistory gives it; got ${display(history)}`,
    );
  }
  const known = new Set(blocks);
  const unknown = periods.flat().find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new Error(
      `${owner}: blockHistory has block '${unknown}' in a period, but not among its blocks (${blocks.join(', ')})`,
    );
  }
}

function checkSameBlocks(owner: string, history: BlockHistory, blocks: readonly string[]): void {
  const own = history.blocks;
  if (own.length === blocks.length && own.every((name) => blocks.includes(name))) return;
  throw new Error(
    `${owner}: blockHistory is for the blocks ${own.join(', ')}, the model has ${blocks.join(', ')}; replay it on the ` +
      'same model with the same blocks option',
  );
}
