import {expect} from 'chai';
import * as fc from 'fast-check';
import {samplingProbabilities} from '../../../src/owlore/sampling/probabilities';
import {createRandom, type Random} from '../../../src/common/random';
import {
  createSampler,
  samplerNames,
  samplers,
  type SamplerName,
} from '../../../src/owlore/sampling/samplers';
import type {Sampler} from '../../../src/owlore/sampling/samplers/sampler';
import {readJson} from '../../support/fixtures';

interface ProbabilityCase {
  D: number[];
  gammas: Record<
    string,
    {clip: number[]; choiceInclusion: number[]; bernoulliNone: {clip: number; waterfill: number}}
  >;
}

const draws = 20000;

/** Standard deviations allowed: all of the about 1000 frequencies here are within it in 99 % of seeds. */
const maxZ = 4.5;

/** A sampler by numbers that are both its probabilities and its shares. */
function samplerOf(
  name: SamplerName,
  numbers: readonly number[],
  gamma: number,
  random: Random,
): Sampler {
  return createSampler(name, {probabilities: numbers, shares: numbers, gamma}, random);
}

function expectFrequencies(sampler: Sampler, blocks: number, expected: readonly number[]): void {
  const counts = new Array<number>(blocks).fill(0);
  for (let i = 0; i < draws; i++) for (const block of sampler()) counts[block]! += 1;
  expected.forEach((p, i) => {
    expect(counts[i]! / draws).to.be.closeTo(p, maxZ * Math.sqrt((p * (1 - p)) / draws) + 1e-12);
  });
}

describe('createSampler', () => {
  for (const name of ['prob_small', 'prob_llama2_7b']) {
    const {D, gammas} = readJson<ProbabilityCase>(`owl/${name}`);
    const entries = Object.entries(gammas).map(([gamma, e]) => ({gamma: Number(gamma), ...e}));
    for (const {gamma, clip, choiceInclusion, bernoulliNone} of entries) {
      const {probabilities, shares} = samplingProbabilities(D, {gamma});

      it(`exact and bernoulli choose by p: ${name}, gamma ${gamma}`, () => {
        for (const sampler of ['exact', 'bernoulli'] as const) {
          for (const p of [probabilities, clip]) {
            expectFrequencies(samplerOf(sampler, p, gamma, createRandom(1)), D.length, p);
          }
        }
      });

      it(`choice chooses as the published code does: ${name}, gamma ${gamma}`, () => {
        const sampler = samplerOf('choice', shares, gamma, createRandom(2));
        expectFrequencies(sampler, D.length, choiceInclusion);
      });

      it(`bernoulli leaves no block on as often as computed: ${name}, gamma ${gamma}`, () => {
        const sampler = samplerOf('bernoulli', probabilities, gamma, createRandom(3));
        let none = 0;
        for (let i = 0; i < draws; i++) if (sampler().length === 0) none++;
        const p = bernoulliNone.waterfill;
        expect(none / draws).to.be.closeTo(p, maxZ * Math.sqrt((p * (1 - p)) / draws) + 1e-12);
      });
    }
  }

  it('exact chooses gamma blocks in every draw, whatever the rounding of p', () => {
    const cases = fc
      .array(fc.double({min: 1e-3, max: 1e3, noNaN: true}), {minLength: 1, maxLength: 30})
      .chain((scores) => fc.tuple(fc.constant(scores), fc.integer({min: 1, max: scores.length})));
    fc.assert(
      fc.property(cases, fc.nat(), ([scores, gamma], seed) => {
        const {probabilities} = samplingProbabilities(scores, {gamma});
        const sampler = samplerOf('exact', probabilities, gamma, createRandom(seed));
        for (let i = 0; i < 20; i++) expect(new Set(sampler())).to.have.property('size', gamma);
      }),
    );
  });

  it('exact does so by the largest number that can be drawn, where p add up to less than gamma', () => {
    const largest = {next: () => 1 - 2 ** -53};
    // neither does a block that is never on take the rest
    for (const never of [[], [0]]) {
      const draw = samplerOf('exact', [...new Array<number>(10).fill(0.1), ...never], 1, largest);
      expect(draw()).to.deep.equal([9]);
    }
  });

  it('exact and bernoulli draw a block by a number from where its part begins to before its end', () => {
    const chosen = (name: SamplerName, p: number[], value: number): number[] =>
      samplerOf(name, p, 1, {next: () => value})();
    expect(chosen('exact', [0.5, 0.5], 0.5)).to.deep.equal([1]);
    expect(chosen('bernoulli', [0.4, 0.5, 0.6], 0.5)).to.deep.equal([2]);
    expect(chosen('bernoulli', [0, 2 ** -53], 0)).to.deep.equal([1]);
  });

  it('exact rounds a sum of p that is no integer up or down', () => {
    const sampler = samplerOf('exact', [0.9, 0.8, 0.7], 2.4, createRandom(4));
    const sizes = new Set(Array.from({length: 200}, () => sampler().length));
    expect([...sizes].sort()).to.deep.equal([2, 3]);
  });

  it('exact lets every pair of blocks meet', () => {
    const sampler = samplerOf('exact', [0.5, 0.5, 0.5, 0.5], 2, createRandom(5));
    const pairs = new Set(Array.from({length: 200}, () => sampler().join()));
    expect(pairs.size).to.equal(6);
  });

  it('choice draws a block by a number from where its share begins to before its end, and none without a share', () => {
    const chosen = (shares: number[], value: number): number[] =>
      samplerOf('choice', shares, 1, {next: () => value})();
    expect([0, 0.49, 0.5, 0.99].map((value) => chosen([0.5, 0, 0.5], value)[0])).to.deep.equal([
      0, 0, 2, 2,
    ]);
    // rounding leaves a rest after the last share
    expect(chosen([0.7, 0.05, 0.05, 0.05, 0], 1 - 2 ** -53)).to.deep.equal([3]);
  });

  it('permutation visits every block once before any block twice', () => {
    const sampler = samplerOf('permutation', new Array<number>(7).fill(1), 3, createRandom(6));
    const orders = Array.from({length: 4}, () => [sampler(), sampler(), sampler()]);
    for (const order of orders) {
      expect(order.map((group) => group.length)).to.deep.equal([3, 3, 1]);
      expect(order.flat().sort()).to.deep.equal([0, 1, 2, 3, 4, 5, 6]);
    }
    expect(new Set(orders.map(String)).size).to.be.above(1);
    expectFrequencies(
      samplerOf('permutation', new Array<number>(6).fill(0.5), 3, createRandom(7)),
      6,
      new Array<number>(6).fill(0.5),
    );
  });

  for (const name of samplerNames) {
    it(`${name}: ascending distinct indices, the same for the same seed`, () => {
      const p = [0.9, 0.2, 0.4, 0.5];
      const [a, b] = [8, 8].map((seed) => samplerOf(name, p, 2, createRandom(seed)));
      for (let i = 0; i < 50; i++) {
        const chosen = a!();
        expect(chosen).to.deep.equal(b!());
        expect(chosen).to.deep.equal([...new Set(chosen)].sort());
      }
    });
  }

  it('says whether a period can be without any block', () => {
    for (const [probabilities, gamma, canBeEmpty] of [
      [[0.2, 0.1, 0.2], 0.5, ['exact', 'bernoulli']],
      [[0.4, 0.2, 0.4], 1, ['bernoulli']],
      [[0.4, 1, 0.4], 1.8, []],
    ] as Array<[number[], number, SamplerName[]]>) {
      for (const name of samplerNames) {
        const count = samplers[name].needsIntegerGamma ? Math.ceil(gamma) : gamma;
        const chances = {probabilities, shares: probabilities, gamma: count};
        const draw = createSampler(name, chances, createRandom(9));
        const isEverEmpty = Array.from({length: 500}, draw).some((chosen) => chosen.length === 0);
        expect(isEverEmpty, `${name}, ${gamma}`).to.equal(canBeEmpty.includes(name));
        expect(samplers[name].canBeEmpty(chances), `${name}, ${gamma}`).to.equal(isEverEmpty);
      }
    }
  });

  it('says how many blocks are on in some periods, all together', () => {
    for (const [probabilities, gamma] of [
      [[0.5, 0.5, 0.5, 0.5], 2],
      // their sum is a little less than 1
      [new Array<number>(10).fill(0.1), 1],
    ] as Array<[number[], number]>) {
      for (const name of samplerNames) {
        const chances = {probabilities, shares: probabilities, gamma};
        expect(samplers[name].visits(chances, 3), name).to.equal(3 * gamma);
        const periods = name === 'bernoulli' ? draws : 3;
        const draw = createSampler(name, chances, createRandom(10));
        const visits = Array.from({length: periods}, draw).flat().length;
        const variance = gamma * (1 - gamma / probabilities.length);
        const max = name === 'bernoulli' ? maxZ * Math.sqrt(variance / draws) : 0;
        expect(visits / periods, name).to.be.closeTo(gamma, max);
      }
    }
  });

  it('rejects what it cannot sample by', () => {
    const of =
      (name: string, p: number[], gamma = 1) =>
      () =>
        samplerOf(name as 'exact', p, gamma, createRandom(0));
    expect(of('dice', [1])).to.throw(`sampler must be one of 'exact'`);
    expect(of('exact', [])).to.throw(
      'probabilities must be numbers >= 0 and <= 1, one per block; got []',
    );
    expect(of('exact', [0.5, -0.1, 2])).to.throw('got -0.1');
    expect(of('exact', [0.5, 1 + 2 ** -52])).to.throw('got 1.0000000000000002');
    expect(of('exact', [NaN])).to.throw('got NaN');
    expect(of('choice', [0.5, 0.5], 1.5)).to.throw(
      `gamma with sampler 'choice' must be an integer`,
    );
    expect(of('choice', [0.5, 0, 0.5], 3)).to.throw('<= 2; got 3');
    expect(of('permutation', [0.5, 0.5], 0.5)).to.throw(`gamma with sampler 'permutation' must be`);
    expect(of('permutation', [0.5, 0.5], 3)).to.throw('<= 2; got 3');
  });
});
