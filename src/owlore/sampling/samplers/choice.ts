import {sum} from '../numbers';
import {expectedVisits, indicesWhere, type SamplerKind} from './sampler';

/** γ successive draws without replacement, each by the shares of the blocks that are left, as in the published code. */
export const choice: SamplerKind = {
  needsIntegerGamma: true,
  usesScores: true,
  create({shares, gamma}, random) {
    const candidates = indicesWhere(shares, (share) => share > 0);
    return () => {
      const left = [...candidates];
      const chosen = Array.from({length: gamma}, () => {
        const total = sum(left.map((i) => shares[i]!));
        let point = random.next() * total;
        const hit = left.findIndex((i) => (point -= shares[i]!) < 0);
        return left.splice(hit, 1)[0]!; // -1, which rounding can give at the end of the line, takes the last
      });
      return chosen.sort((a, b) => a - b);
    };
  },
  canBeEmpty: () => false,
  visits: expectedVisits,
};
