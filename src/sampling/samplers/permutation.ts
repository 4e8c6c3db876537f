import {shuffledIndices, type Random} from '../../random';
import type {SamplerKind} from './sampler';

/** All blocks in an order, γ at a time, then the next order: BAdam's (Luo et al., 2024). */
const inOrder = (order: (count: number, random: Random) => number[]): SamplerKind => ({
  needsIntegerGamma: true,
  usesScores: false,
  create({shares, gamma}, random) {
    let left: number[] = [];
    return () => {
      if (left.length === 0) left = order(shares.length, random);
      return left.splice(0, gamma).sort((a, b) => a - b);
    };
  },
  // A block is on in one of the ⌈N/γ⌉ periods that an order of N blocks lasts; the last period may have fewer than γ blocks.
  marginal: (count, gamma) => 1 / Math.ceil(count / gamma),
  canBeEmpty: () => false,
  visits: ({gamma}, periods) => periods * gamma,
});

/** Another random order each time. */
export const permutation = inOrder(shuffledIndices);

/** From the first block to the last, each time. */
export const ascending = inOrder((count) => Array.from({length: count}, (_, i) => i));
