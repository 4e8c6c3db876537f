import {expect} from 'chai';
import {
  fittedGamma,
  fittedGammaLine,
  probabilitiesAsGiven,
  probabilitiesFromScores,
  type BlockNames,
} from '../../../src/owlore/sampling/block_probabilities';
import {samplingProbabilities} from '../../../src/owlore/sampling/probabilities';
import {createRandom} from '../../../src/common/random';
import {createSampler} from '../../../src/owlore/sampling/samplers';
import {captureWarnings} from '../../support/warnings';

const owner = 'LayerSamplingCallback';
const all = ['a', 'b', 'c', 'd'];
const every: BlockNames = {all, candidates: all};
/** 'b' is frozen. */
const some: BlockNames = {all, candidates: ['a', 'c', 'd']};

const exact = {gamma: 'auto', sampler: 'exact'} as const;

describe('block probabilities', () => {
  describe('gamma by default', () => {
    it('leaves one block off, where that leaves one', () => {
      const fitted = [1, 2, 3, 4, 5, 6, 7, 32].map((blocks) => fittedGamma(5, blocks));
      expect(fitted).to.deep.equal([1, 1, 2, 3, 4, 5, 5, 5]);
      expect(fittedGamma(5, 8, 3)).to.equal(3);
    });

    it('is of the blocks that can train', () => {
      expect(probabilitiesFromScores(owner, 'uniform', every, exact).gamma).to.equal(3);
      expect(probabilitiesFromScores(owner, 'uniform', some, exact).gamma).to.equal(2);
    });

    it('is of the blocks with a score, unless floor gives each a chance', () => {
      const scores = [1, 0, 0, 1];
      captureWarnings(() => {
        const sampling = probabilitiesFromScores(owner, scores, every, exact);
        expect(sampling.probabilities).to.deep.equal([1, 0, 0, 1]);
        expect(fittedGammaLine(owner, sampling)).to.equal(
          'LayerSamplingCallback: gamma 5 → 2: 2 of 4 blocks have a score above 0 (a, d)',
        );
      });
      const floored = probabilitiesFromScores(owner, scores, every, {...exact, floor: 0.5});
      expect(floored.gamma).to.equal(3);
      expect(fittedGammaLine(owner, floored)).to.match(
        /of 4 blocks \(a, b, c, d\) each period leaves one/,
      );
    });

    it('is 1 of one block', () => {
      for (const blocks of [
        {all: ['a'], candidates: ['a']},
        {all, candidates: ['a']},
      ]) {
        const sampling = probabilitiesFromScores(owner, 'uniform', blocks, exact);
        expect(sampling).to.deep.include({probabilities: [1], gamma: 1});
        expect(fittedGammaLine(owner, sampling)).to.equal(
          'LayerSamplingCallback: gamma 5 → 1: one block can train (a)',
        );
      }
    });

    it('is the paper’s where there is room, and no line says so', () => {
      const names = Array.from({length: 6}, (_, i) => `block${i}`);
      const sampling = probabilitiesFromScores(
        owner,
        'uniform',
        {all: names, candidates: names},
        exact,
      );
      expect(sampling.gamma).to.equal(5);
      expect(fittedGammaLine(owner, sampling)).to.equal(null);
    });
  });

  it('refuses a gamma that is too large, and names what can be drawn', () => {
    const refusal = (blocks: BlockNames, scores: number[], gamma: number) => (): void => {
      probabilitiesFromScores(owner, scores, blocks, {gamma, sampler: 'exact'});
    };
    expect(refusal(every, [1, 1, 1, 1], 5)).to.throw(
      'LayerSamplingCallback: gamma must be <= 4, the number of blocks of the model: a, b, c, d; got 5',
    );
    expect(refusal(some, [1, 1, 1, 1], 4)).to.throw(
      'gamma must be <= 3, the number of blocks with a trainable weight: a, c, d; got 4',
    );
    expect(refusal(every, [1, 0, 1, 1], 4)).to.throw(
      'gamma must be <= 3, the number of blocks with a score above 0 (or floor > 0): a, c, d; got 4',
    );
    expect(refusal(some, [1, 1, 0, 1], 3)).to.throw(
      'gamma must be <= 2, the number of blocks with a trainable weight and a score above 0 (or floor > 0): a, d; got 3',
    );
  });

  it('takes a gamma of as many blocks as can be drawn', () => {
    for (const [blocks, scores, gamma, probabilities] of [
      [every, [1, 2, 3, 4], 4, [1, 1, 1, 1]],
      [some, [1, 2, 3, 4], 3, [1, 1, 1]],
    ] as const) {
      const options = {gamma, sampler: 'exact'} as const;
      const sampling = probabilitiesFromScores(owner, scores, blocks, options);
      expect(sampling.probabilities).to.deep.equal(probabilities);
    }
  });

  it('refuses scores that are all 0, with any gamma', () => {
    for (const gamma of ['auto', 2, 4] as const) {
      expect(() =>
        probabilitiesFromScores(owner, [0, 0, 0, 0], every, {gamma, sampler: 'exact'}),
      ).to.throw(/every score is 0, so no block would ever be trained/);
    }
  });

  it('leaves out the scores of blocks that cannot train', () => {
    const options = {gamma: 1.5, sampler: 'exact', floor: 0.1} as const;
    const expected = samplingProbabilities(
      {scores: [1, 3, 4], blocks: some.candidates},
      {gamma: 1.5, floor: 0.1},
    );
    for (const scores of [
      [1, 2, 3, 4],
      [1, 3, 4],
      {blocks: ['d', 'c', 'b', 'a'], scores: [4, 3, 2, 1]},
      {blocks: ['d', 'c', 'a'], scores: [4, 3, 1]},
    ]) {
      expect(probabilitiesFromScores(owner, scores, some, options)).to.deep.equal(expected);
    }
  });

  it('refuses scores of other blocks, and those of blocks that cannot train alone', () => {
    const from = (scores: Parameters<typeof probabilitiesFromScores>[1]) => (): void => {
      probabilitiesFromScores(owner, scores, some, exact);
    };
    expect(from([1, 2])).to.throw('scores are for 2 blocks, the model has 4 (a, b, c, d)');
    expect(from({blocks: ['a', 'b', 'c'], scores: [1, 1, 1]})).to.throw("scores have no block 'd'");
    expect(from({blocks: ['a', 'x', 'c', 'd'], scores: [1, 1, 1, 1]})).to.throw(
      "scores have a block 'x'; they are for a, x, c, d, the model has a, b, c, d",
    );
    expect(from([0, 1, 0, 0])).to.throw(
      'every score of the blocks that can train (a, c, d) is 0; the other blocks have no trainable weight',
    );
  });

  it('takes probabilities as they are given, to the last bit', () => {
    const quarters = probabilitiesAsGiven(owner, [0.5, 0.25, 1, 0.25], every, 'exact');
    expect(quarters.shares).to.deep.equal([0.25, 0.125, 0.5, 0.125]);
    for (const [given, gamma] of [
      [[0.5, 0.25, 1, 0.25], 2],
      // their sum is a little less than 1
      [[0.1, 0.7, 0.1, 0.1], 1],
      [[0.1, 0.2, 0.4, 0.6], 1.3],
      [[0, 0, 1, 0], 1],
    ] as const) {
      expect(probabilitiesAsGiven(owner, given, every, 'exact')).to.deep.include({
        ...{blocks: all, probabilities: given, gamma, floor: 0},
      });
    }
    expect(probabilitiesAsGiven(owner, [0.5, 0, 1], some, 'exact').probabilities).to.deep.equal([
      0.5, 0, 1,
    ]);
  });

  it('refuses what are no probabilities', () => {
    for (const given of [
      [0.5, 1 + 2 ** -52, 0, 0],
      [0.5, -1e-9, 0.5, 0],
      [NaN, 1, 0, 0],
      [0, 0, 0, 0],
    ]) {
      expect(() => probabilitiesAsGiven(owner, given, every, 'exact')).to.throw(
        `LayerSamplingCallback: probabilities must be numbers >= 0 and <= 1, not all 0; got [${given.join(', ')}]`,
      );
    }
    expect(() => probabilitiesAsGiven(owner, [1, 1], every, 'exact')).to.throw(
      'probabilities are for 2 blocks, the model has 4 (a, b, c, d)',
    );
  });

  it('gives those of blocks that cannot train to the others, in proportion', () => {
    const renormalized = (given: number[]): number[] =>
      probabilitiesAsGiven(owner, given, some, 'exact').probabilities;
    const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
    // One block is on before and after.
    expect(renormalized([0.25, 0.5, 0.125, 0.125])).to.deep.equal([0.5, 0.25, 0.25]);
    // Two are: the first would be above 1, so that the others are raised.
    expect(renormalized([0.75, 1, 0.125, 0.125])).to.deep.equal([1, 0.5, 0.5]);
    // As many as there are.
    expect(renormalized([1, 1, 1, 0.5])).to.deep.equal([1, 1, 1]);
    expect(renormalized([0.5, 1, 0, 0])).to.deep.equal([1, 0, 0]);
    expect(sum(renormalized([0.9, 0.3, 0.2, 0.6]))).to.be.closeTo(2, 1e-12);
    const result = samplingProbabilities({scores: [1, 2, 3, 4], blocks: all}, {gamma: 1});
    const {probabilities, gamma} = probabilitiesAsGiven(owner, result, some, 'exact');
    expect(gamma).to.equal(1);
    probabilities.forEach((p, i) => expect(p).to.be.closeTo([1, 3, 4][i]! / 8, 1e-12));
    // what was computed with a floor keeps it, for what changes the probabilities later
    const floored = samplingProbabilities({scores: [1, 2, 3, 4]}, {gamma: 1, floor: 0.1});
    expect(probabilitiesAsGiven(owner, floored, every, 'exact').floor).to.equal(0.1);
    expect(() => renormalized([0, 1, 0, 0])).to.throw(
      'not all 0 for the blocks that can train (a, c, d); got [0, 1, 0, 0]',
    );
  });

  it('says how often a permutation draws a block: once in ⌈N/γ⌉ periods, whatever the scores', () => {
    for (const [count, gamma] of [
      [4, 1],
      [4, 3],
      [5, 2],
      [8, 3],
      [8, 8],
    ] as const) {
      const names = Array.from({length: count}, (_, i) => `block${i}`);
      const blocks = {all: names, candidates: names};
      const sampling = probabilitiesFromScores(owner, 'decreasing', blocks, {
        gamma,
        sampler: 'permutation',
      });
      const draw = createSampler('permutation', sampling, createRandom(1));
      const turn = Math.ceil(count / gamma);
      const drawn = new Array<number>(count).fill(0);
      for (let period = 0; period < 50 * turn; period++) {
        for (const index of draw()) drawn[index]!++;
      }
      const frequencies = drawn.map((times) => times / (50 * turn));
      expect(sampling.probabilities).to.deep.equal(frequencies);
      expect(sampling.shares).to.deep.equal(names.map(() => 1 / count));
    }
    expect(probabilitiesFromScores(owner, [1, 0, 1, 0], every, {gamma: 2, sampler: 'permutation'}))
      .to.have.property('probabilities')
      .that.deep.equals([0.5, 0.5, 0.5, 0.5]);
    expect(probabilitiesAsGiven(owner, [1, 1, 1, 0], every, 'permutation')).to.deep.include({
      ...{probabilities: [0.5, 0.5, 0.5, 0.5], shares: [0.25, 0.25, 0.25, 0.25]},
    });
  });
});
