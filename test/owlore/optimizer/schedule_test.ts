import {expect} from 'chai';
import {display} from '../../../src/common/options';
import {
  checkLearningRate,
  cosineDecay,
  learningRateAt,
  linearDecay,
  warmup,
  type LearningRate,
} from '../../../src/owlore/optimizer/schedule';

describe('schedules', () => {
  const half = (1 + Math.SQRT1_2) / 2;
  // Made within the tests, where Stryker sees it.
  const cases: Array<[what: string, make: () => LearningRate, rates: Record<number, number>]> = [
    ['a number', () => 0.3, {0: 0.3, 100: 0.3}],
    ['a function', () => (step) => step / 4, {0: 0, 3: 0.75}],
    ['linearDecay', () => linearDecay(1, 4), {0: 1, 1: 0.75, 3: 0.25, 4: 0, 5: 0, 100: 0}],
    ['linearDecay to an end', () => linearDecay(1, 4, {end: 0.5}), {0: 1, 2: 0.75, 4: 0.5, 9: 0.5}],
    ['linearDecay that rises', () => linearDecay(0, 2, {end: 1}), {0: 0, 1: 0.5, 2: 1, 3: 1}],
    ['cosineDecay', () => cosineDecay(1, 4), {0: 1, 1: half, 2: 0.5, 3: 1 - half, 4: 0, 7: 0}],
    ['cosineDecay to an end', () => cosineDecay(3, 2, {end: 1}), {0: 3, 1: 2, 2: 1, 3: 1}],
    ['warmup', () => warmup(4, 2), {0: 0.5, 1: 1, 3: 2, 4: 2, 50: 2}],
    ['warmup of one step', () => warmup(1, 2), {0: 2, 1: 2}],
    [
      'warmup before a schedule',
      () => warmup(2, linearDecay(1, 2)),
      {0: 0.5, 1: 1, 2: 1, 3: 0.5, 4: 0, 5: 0},
    ],
    [
      'warmup before a warmup',
      () => warmup(2, warmup(2, 1)),
      {0: 0.25, 1: 0.5, 2: 0.5, 3: 1, 4: 1},
    ],
  ];
  for (const [what, make, rates] of cases) {
    it(`have the rates of ${what}`, () => {
      const rate = make();
      for (const [step, expected] of Object.entries(rates)) {
        expect(learningRateAt(rate, Number(step)), `step ${step}`).to.be.closeTo(expected, 1e-12);
      }
      expect(() => checkLearningRate('here', rate)).not.to.throw();
    });
  }

  const linear = {kind: 'linearDecay', learningRate: 1, steps: 2, end: 0};
  const wrong =
    /^here: learningRate must be a number >= 0, a schedule \(linearDecay, cosineDecay, warmup\) or a function of the step; got /;
  const refused: Array<[rate: unknown, message: RegExp]> = [
    [-1, /^here: learningRate must be a number >= 0; got -1$/],
    [Infinity, /^here: learningRate must be a number >= 0; got Infinity$/],
    [null, wrong],
    [undefined, wrong],
    ['0.1', wrong],
    [{}, wrong],
    [{...linear, kind: 'step'}, wrong],
    [{...linear, kind: 'toString'}, wrong],
    [{...linear, kind: ['linearDecay']}, wrong],
    [
      {...linear, learningRate: -1},
      /^here: linearDecay learningRate must be a number >= 0; got -1/,
    ],
    [{...linear, steps: 0}, /^here: linearDecay steps must be an integer >= 1; got 0/],
    [{...linear, steps: 1.5}, /^here: linearDecay steps must be an integer >= 1; got 1.5/],
    [{...linear, end: -1}, /^here: linearDecay end must be a number >= 0; got -1/],
    [{...linear, end: undefined}, /^here: linearDecay end must be a number >= 0; got undefined/],
    [{...linear, then: 1}, /^here: linearDecay: unknown option 'then'/],
    [{...linear, kind: 'cosineDecay', end: -1}, /^here: cosineDecay end must be a number >= 0/],
    [{kind: 'warmup', steps: 0, then: 1}, /^here: warmup steps must be an integer >= 1; got 0/],
    [{kind: 'warmup', steps: 2.5, then: 1}, /^here: warmup steps must be an integer >= 1; got 2.5/],
    [{kind: 'warmup', steps: 1, then: -1}, /^here: learningRate must be a number >= 0; got -1/],
    [{kind: 'warmup', steps: 1, then: {...linear, steps: 0}}, /linearDecay steps must be/],
    [
      {kind: 'warmup', steps: 1, then: () => 1},
      /^here: warmup then must be a number or a schedule; got a function$/,
    ],
  ];
  for (const [rate, message] of refused) {
    it(`are refused: ${display(rate)}`, () => {
      expect(() => checkLearningRate('here', rate)).to.throw(message);
    });
  }

  it('name the function that made them in an error', () => {
    const options = {End: 1} as object;
    const known = /Known options: end$/;
    for (const make of [linearDecay, cosineDecay]) {
      expect(() => make(1, 2, options)).to.throw(new RegExp(`^${make.name}: unknown option 'End'`));
      expect(() => make(1, 2, options)).to.throw(known);
      expect(() => make(1, 2, null as never)).to.throw(/options must be a plain object; got null/);
    }
    expect(() => linearDecay(-1, 2)).to.throw(/^linearDecay: linearDecay learningRate must be/);
    expect(() => cosineDecay(1, 2, {end: NaN})).to.throw(/^cosineDecay: cosineDecay end must be/);
    expect(() => warmup(0.5, 1)).to.throw(/^warmup: warmup steps must be an integer >= 1; got 0.5/);
  });
});
