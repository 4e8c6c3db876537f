import {shuffledIndices} from '../../../common/random';
import type {SamplerKind} from './sampler';

/** All blocks in a random order, γ at a time, then in another order: BAdam's (Luo et al., 2024). */
export const permutation: SamplerKind = {
  needsIntegerGamma: true,
  usesScores: false,
  create({shares, gamma}, random) {
    let left: number[] = [];
    return () => {
      if (left.length === 0) left = shuffledIndices(shares.length, random);
      return left.splice(0, gamma).sort((a, b) => a - b);
    };
  },
  // A block is on in one of the ⌈N/γ⌉ periods that an order of N blocks lasts; the last period may have fewer than γ blocks.
  marginal: (count, gamma) => 1 / Math.ceil(count / gamma),
  canBeEmpty: () => false,
  visits: ({gamma}, periods) => periods * gamma,
};
