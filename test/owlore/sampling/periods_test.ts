import {expect} from 'chai';
import {
  checkHistory,
  drawnPeriods,
  fittedInterval,
  periodOf,
  replayedPeriods,
} from '../../../src/owlore/sampling/periods';
import {samplingProbabilities} from '../../../src/owlore/sampling/probabilities';
import {createRandom} from '../../../src/common/random';
import {createSampler, samplerNames} from '../../../src/owlore/sampling/samplers';

const all = ['a', 'b', 'c', 'd'];

describe('the blocks of periods', () => {
  for (const sampler of samplerNames) {
    it(`are those of the whole run where it goes on in the middle, drawn by ${sampler}`, () => {
      const sampling = samplingProbabilities({scores: [4, 3, 2, 1], blocks: all}, {gamma: 2});
      const options = {sampler, seed: 3};
      const whole = drawnPeriods(sampling, options, 0);
      const expected = Array.from({length: 20}, (_, period) => whole(period));
      const draw = createSampler(sampler, sampling, createRandom(3));
      expect(expected).to.deep.equal(expected.map(() => draw().map((index) => all[index])));
      expect(new Set(expected.map(String)).size).to.be.above(1);
      const rest = drawnPeriods(sampling, options, 7);
      for (let period = 7; period < 20; period++)
        expect(rest(period)).to.deep.equal(expected[period]);
      const other = drawnPeriods(sampling, {...options, seed: 4}, 0);
      expect(expected.map((_, period) => other(period))).not.to.deep.equal(expected);
    });
  }

  it('are ten in a run, of 10 to 50 steps each; of 50 where nobody knows how long it is', () => {
    const runs = [null, 0, 9, 100, 109, 110, 259, 499, 500, 1e6];
    expect(runs.map(fittedInterval)).to.deep.equal([50, 10, 10, 10, 10, 11, 25, 49, 50, 50]);
  });

  it('are none where there is nothing to draw by', () => {
    expect(drawnPeriods(null, {sampler: 'exact', seed: 1}, 3)(3)).to.deep.equal([]);
  });

  it('are replayed for blocks in any order, without those that cannot train, and not beyond the end', () => {
    const history = {blocks: ['d', 'c', 'b', 'a'], interval: 5, periods: [['a', 'b'], [], ['d']]};
    const replayed = replayedPeriods('test', history, {all, candidates: ['b', 'c', 'd']});
    expect([0, 1, 2].map(replayed)).to.deep.equal([['b'], [], ['d']]);
    const end =
      'test: the blockHistory has 3 periods of 5 steps and ends before step 16; train for fewer steps';
    expect(() => replayed(3)).to.throw(end);
    expect(() => periodOf('test', history, 3)).to.throw(end);
    for (const other of [all.slice(1), [...all, 'e'], ['a', 'b', 'c', 'e']]) {
      expect(() => replayedPeriods('test', history, {all: other, candidates: other})).to.throw(
        `test: blockHistory is for the blocks d, c, b, a, the model has ${other.join(', ')}; replay it`,
      );
    }
  });

  it('are refused where they are no history', () => {
    const right = {blocks: all, interval: 1, periods: [['a'], []]};
    expect(() => checkHistory('test', right)).not.to.throw();
    for (const wrong of [
      null,
      undefined,
      'a',
      {...right, blocks: 'abcd'},
      {...right, blocks: ['a', 1]},
      {...right, interval: 0},
      {...right, interval: 1.5},
      {...right, periods: {}},
      {...right, periods: ['a']},
      {...right, periods: [['a'], 'b']},
      {...right, periods: [['a', 1]]},
    ]) {
      expect(() => checkHistory('test', wrong), JSON.stringify(wrong)).to.throw(
        /^test: blockHistory must be \{blocks: string\[\], interval: an integer >= 1, periods: string\[\]\[\]\}/,
      );
    }
    expect(() => checkHistory('test', {...right, periods: [['a'], ['e']]})).to.throw(
      "test: blockHistory has block 'e' in a period, but not among its blocks (a, b, c, d)",
    );
  });
});
