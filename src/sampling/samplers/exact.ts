import {shuffledIndices} from '../../random';
import {expectedVisits, indicesWhere, type SamplerKind} from './sampler';

/**
 * Systematic sampling: the blocks lie end to end on a line, each as long as its probability; points
 * one apart from a random start choose the blocks they fall on. A new random order of the blocks in
 * every draw keeps neighbours from excluding each other for good.
 */
export const exact: SamplerKind = {
  needsIntegerGamma: false,
  heedsScores: true,
  create({probabilities}, random) {
    // Blocks with probability 1 stay off the line: with rounding, a length of 1 could be hit twice or not at all.
    const certain = indicesWhere(probabilities, (p) => p === 1);
    const uncertain = indicesWhere(probabilities, (p) => p > 0 && p < 1);
    const total = snap(uncertain.reduce((sum, i) => sum + probabilities[i]!, 0));
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

/** The nearest integer if `sum` differs from it only by rounding, so that γ blocks are drawn, never γ − 1. */
function snap(sum: number): number {
  return Math.abs(sum - Math.round(sum)) < 1e-9 ? Math.round(sum) : sum;
}
