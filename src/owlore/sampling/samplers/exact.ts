import {shuffledIndices} from '../../../common/random';
import {nearInteger, sum} from '../numbers';
import {expectedVisits, indicesWhere, type SamplerKind} from './sampler';

/**
 * Systematic sampling (Madow 1949): the blocks lie end to end on a line, each as long as its probability. Points at a distance of
 * 1 from each other, the first one at random, choose the blocks on which they fall. Every draw puts the blocks in a new random
 * order; otherwise neighbours with small probabilities would never be on together.
 */
export const exact: SamplerKind = {
  needsIntegerGamma: false,
  usesScores: true,
  create({probabilities}, random) {
    // Blocks with probability 1 stay off the line: with rounding, a length of 1 could be hit twice or not at all.
    const certain = indicesWhere(probabilities, (p) => p === 1);
    const uncertain = indicesWhere(probabilities, (p) => p > 0 && p < 1);
    // Without the error of rounding, so that γ blocks are drawn, never γ − 1.
    const total = nearInteger(sum(uncertain.map((i) => probabilities[i]!)));
    return () => {
      const chosen = [...certain];
      let point = random.next();
      let end = 0;
      const order = shuffledIndices(uncertain.length, random);
      order.forEach((at, position) => {
        const block = uncertain[at]!;
        end = position === order.length - 1 ? total : end + probabilities[block]!;
        if (point < end) {
          chosen.push(block);
          point += 1;
        }
      });
      return chosen.sort((a, b) => a - b);
    };
  },
  // If the sum is not an integer, the number of blocks is the integer below or above it.
  canBeEmpty: ({gamma}) => gamma < 1,
  visits: expectedVisits,
};
