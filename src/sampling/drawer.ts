import type {SamplingProbabilities} from './probabilities';
import {createRandom} from './rng';
import {createSampler, type SamplerName} from './samplers';
import {checkSameBlocks, replayPeriod, type SamplingSchedule} from './schedule';

/** Gives the names of the blocks of one period after the other; `period` is 0, 1, … */
export type Drawer = (period: number) => string[];

/** Draws by probabilities, from period `first` on: the draws of those before it are made and forgotten. */
export function createDrawer(
  blocks: readonly string[],
  {probabilities, shares, gamma}: SamplingProbabilities,
  {sampler, seed}: {sampler: SamplerName; seed: number},
  first: number,
): Drawer {
  const chances = sampler === 'choice' ? shares : probabilities;
  const draw = createSampler(sampler, chances, gamma, createRandom(seed));
  for (let period = 0; period < first; period++) draw();
  return () => draw().map((index) => blocks[index]!);
}

/** Replays a schedule, which must be of the same blocks. */
export function replayDrawer(schedule: SamplingSchedule, blocks: readonly string[]): Drawer {
  checkSameBlocks(schedule, blocks);
  return (period) => [...replayPeriod(schedule, period)];
}
