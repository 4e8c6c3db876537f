import type {BlockNames} from './block_probabilities';
import type {SamplingProbabilities} from './probabilities';
import {createRandom} from '../random';
import {createSampler, type SamplerName} from './samplers';
import {checkSameBlocks, replayPeriod, type SamplingSchedule} from './schedule';

/** Gives the names of the blocks of one period after the other; `period` is 0, 1, … */
export type Drawer = (period: number) => string[];

/**
 * Draws by probabilities, from period `first` on: the draws of those before it are made and forgotten. Without
 * probabilities there is nothing to draw.
 */
export function createDrawer(
  sampling: SamplingProbabilities | null,
  {sampler, seed}: {sampler: SamplerName; seed: number},
  first: number,
): Drawer {
  if (!sampling) return () => [];
  const {probabilities, shares, gamma, blocks} = sampling;
  const chances = sampler === 'choice' ? shares : probabilities;
  const draw = createSampler(sampler, chances, gamma, createRandom(seed));
  for (let period = 0; period < first; period++) draw();
  return () => draw().map((index) => blocks![index]!);
}

/** Replays a schedule, which must be of the same blocks; those of them that cannot train stay off. */
export function replayDrawer(schedule: SamplingSchedule, {all, candidates}: BlockNames): Drawer {
  checkSameBlocks(schedule, all);
  return (period) => replayPeriod(schedule, period).filter((name) => candidates.includes(name));
}
