/** Which blocks train in the next sampling period. To add a sampler, add a file in this folder and a line in the table below. */

import {checkChoice, checkNumber, display} from '../../../common/options';
import type {Random} from '../../../common/random';
import {bernoulli} from './bernoulli';
import {choice} from './choice';
import {exact} from './exact';
import {permutation} from './permutation';
import type {Chances, Sampler, SamplerKind} from './sampler';

/** All samplers, the default first. */
export const samplers = {
  exact,
  bernoulli,
  choice,
  permutation,
} as const satisfies Record<string, SamplerKind>;

/** How the blocks of a period are drawn; the table at `createSampler` compares them. */
export type SamplerName = keyof typeof samplers;

export const samplerNames = Object.keys(samplers) as SamplerName[];

const owner = 'createSampler';

/**
 * Makes a sampler of blocks.
 *
 * | name | draws | number of blocks | marginal probability |
 * |---|---|---|---|
 * | `'exact'` | systematic sampling | Σp, rounded up or down if it is no integer | exactly p |
 * | `'bernoulli'` | the paper's independent draws | Σp on average, can be 0 | exactly p |
 * | `'choice'` | γ successive draws without replacement, as the published code does | γ | not p |
 * | `'permutation'` | BAdam's: a random order of all blocks, γ at a time, then a new order | γ, the last of an order may be fewer | 1/⌈N/γ⌉ |
 *
 * @param chances one probability in [0, 1] and one share for each block, as `samplingProbabilities` returns them, and γ.
 * @throws if these are not what the sampler needs.
 */
export function createSampler(name: SamplerName, chances: Chances, random: Random): Sampler {
  checkChoice(owner, 'sampler', name, samplerNames);
  const {probabilities, shares, gamma} = chances;
  const wrong = probabilities.find((p) => !(p >= 0 && p <= 1));
  if (probabilities.length === 0 || wrong !== undefined) {
    throw new Error(
      `${owner}: probabilities must be numbers >= 0 and <= 1, one per block; ` +
        `got ${display(probabilities.length === 0 ? probabilities : wrong)}`,
    );
  }
  const kind: SamplerKind = samplers[name];
  if (kind.needsIntegerGamma) {
    const max = kind.usesScores ? shares.filter((share) => share > 0).length : shares.length;
    checkNumber(owner, `gamma with sampler '${name}'`, gamma, {integer: true, min: 1, max});
  }
  return kind.create(chances, random);
}

/** The chances as the sampler really draws: the probabilities and shares with which blocks are on. */
export function asDrawn<T extends Chances>(name: SamplerName, chances: T): T {
  const {marginal}: SamplerKind = samplers[name];
  if (!marginal) return chances;
  const count = chances.probabilities.length;
  return {
    ...chances,
    probabilities: chances.probabilities.map(() => marginal(count, chances.gamma)),
    shares: chances.probabilities.map(() => 1 / count),
  };
}
