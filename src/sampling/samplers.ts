/** Which blocks train in the next sampling period. */

import {checkChoice, checkNumber, display} from '../options';
import {shuffledIndices, type Random} from '../random';

const owner = 'createSampler';

/** Names of the samplers, the default first. */
export const samplerNames = ['exact', 'bernoulli', 'choice', 'permutation'] as const;

/** How the blocks of a period are drawn; the table at `createSampler` compares them. */
export type SamplerName = (typeof samplerNames)[number];

/** Draws once: the indices of the chosen blocks, ascending. */
export type Sampler = () => number[];

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
 * @param probabilities one in [0, 1] per block. `'choice'` only needs numbers in proportion to the
 *   chances of one draw (`shares` of `samplingProbabilities`); `'permutation'` only their number.
 * @param gamma γ; used by `'choice'` and `'permutation'`, which need an integer.
 */
export function createSampler(
  name: SamplerName,
  probabilities: readonly number[],
  gamma: number,
  random: Random,
): Sampler {
  checkChoice(owner, 'sampler', name, samplerNames);
  const wrong = probabilities.find((p) => !(p >= 0 && p <= 1));
  if (probabilities.length === 0 || wrong !== undefined) {
    throw new Error(
      `${owner}: probabilities must be numbers >= 0 and <= 1, one per block; ` +
        `got ${display(probabilities.length === 0 ? probabilities : wrong)}`,
    );
  }
  switch (name) {
    case 'exact':
      return exactSampler(probabilities, random);
    case 'bernoulli':
      return () => indicesWhere(probabilities, (p) => random.next() < p);
    case 'choice':
      return choiceSampler(probabilities, gamma, random);
    case 'permutation':
      return permutationSampler(probabilities.length, gamma, random);
  }
}

/**
 * Systematic sampling: the blocks lie end to end on a line, each as long as its probability; points
 * one apart from a random start choose the blocks they fall on. A new random order of the blocks in
 * every draw keeps neighbours from excluding each other for good.
 */
function exactSampler(probabilities: readonly number[], random: Random): Sampler {
  // Certain blocks stay off the line: a length of 1 in floats could be hit twice or not at all.
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
}

/** The integer that `sum` means, where only rounding keeps it from one: γ blocks, never γ − 1. */
function snap(sum: number): number {
  return Math.abs(sum - Math.round(sum)) < 1e-9 ? Math.round(sum) : sum;
}

function choiceSampler(weights: readonly number[], gamma: number, random: Random): Sampler {
  const candidates = indicesWhere(weights, (weight) => weight > 0);
  checkNumber(owner, `gamma with sampler 'choice'`, gamma, {
    integer: true,
    min: 1,
    max: candidates.length,
  });
  return () => {
    const left = [...candidates];
    const chosen = Array.from({length: gamma}, () => {
      const total = left.reduce((sum, i) => sum + weights[i]!, 0);
      let point = random.next() * total;
      const hit = left.findIndex((i) => (point -= weights[i]!) < 0);
      return left.splice(hit, 1)[0]!; // -1, rounding at the very end of the line, takes the last
    });
    return chosen.sort((a, b) => a - b);
  };
}

/** The probability that `'permutation'` has a block on: in one of the ⌈N/γ⌉ periods that an order of N blocks lasts. */
export function permutationMarginal(count: number, gamma: number): number {
  return 1 / Math.ceil(count / gamma);
}

function permutationSampler(count: number, gamma: number, random: Random): Sampler {
  checkNumber(owner, `gamma with sampler 'permutation'`, gamma, {
    integer: true,
    min: 1,
    max: count,
  });
  let left: number[] = [];
  return () => {
    if (left.length === 0) left = shuffledIndices(count, random);
    return left.splice(0, gamma).sort((a, b) => a - b);
  };
}

function indicesWhere(values: readonly number[], holds: (value: number) => boolean): number[] {
  return values.flatMap((value, i) => (holds(value) ? [i] : []));
}
