import {expectedVisits, indicesWhere, type SamplerKind} from './sampler';

/** An independent draw for each block, as in the paper (Alg. 1). */
export const bernoulli: SamplerKind = {
  needsIntegerGamma: false,
  usesScores: true,
  create:
    ({probabilities}, random) =>
    () =>
      indicesWhere(probabilities, (p) => random.next() < p),
  canBeEmpty: ({probabilities}) => !probabilities.includes(1),
  visits: expectedVisits,
};
