import {expect} from 'chai';
import * as fc from 'fast-check';
import {presetScores, samplingProbabilities} from '../../../src/owlore/sampling/probabilities';
import {captureWarnings} from '../../support/warnings';
import {readJson} from '../../support/fixtures';

interface ProbabilityCase {
  D: number[];
  gammas: Record<string, {p: number[]; clip: number[]; waterfill: number[]}>;
  tolerance: {p: number; clip: number; waterfill: number};
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function expectClose(actual: readonly number[], expected: readonly number[], atol: number): void {
  expect(actual).to.have.length(expected.length);
  expected.forEach((value, i) => expect(actual[i]).to.be.closeTo(value, atol));
}

describe('samplingProbabilities', () => {
  for (const name of ['prob_llama2_7b', 'prob_small', 'prob_zeros']) {
    const {D, gammas, tolerance} = readJson<ProbabilityCase>(`owl/${name}`);
    for (const [gamma, expected] of Object.entries(gammas)) {
      it(`agrees with ${name} at gamma ${gamma}`, () => {
        captureWarnings(() => {
          for (const method of ['waterfill', 'clip'] as const) {
            const {probabilities, shares} = samplingProbabilities(D, {
              gamma: Number(gamma),
              method,
            });
            expectClose(probabilities, expected[method], tolerance[method]);
            expectClose(
              shares.map((share) => share * Number(gamma)),
              expected.p,
              tolerance.p,
            );
          }
        });
      });
    }
  }

  it('loads the published LLaMA2-7B ratios as they are', () => {
    const ratios = readJson<{ratios: number[]}>('owl/llama2-7b-outlier-ratio-tau13');
    const {gammas} = readJson<ProbabilityCase>('owl/prob_llama2_7b');
    expectClose(samplingProbabilities(ratios).probabilities, gammas['5']!.waterfill, 1e-12);
  });

  it('keeps its promises for any scores', () => {
    const cases = fc
      .array(fc.double({min: 1e-6, max: 1e6, noNaN: true}), {minLength: 1, maxLength: 40})
      .chain((scores) =>
        fc.record({
          scores: fc.constant(scores),
          gamma: fc.double({min: 1e-3, max: scores.length, noNaN: true}),
          floor: fc.double({min: 0, max: 1, noNaN: true}),
        }),
      );
    fc.assert(
      fc.property(cases, ({scores, gamma, floor}) => {
        const filled = samplingProbabilities(scores, {gamma, floor});
        const clipped = samplingProbabilities(scores, {gamma, floor, method: 'clip'});
        expect(sum(filled.probabilities)).to.be.closeTo(gamma, 1e-9 * gamma);
        expect(sum(filled.shares)).to.be.closeTo(1, 1e-9);
        filled.probabilities.forEach((p, i) => {
          expect(p).to.be.within(0, 1);
          expect(p).to.be.at.least(clipped.probabilities[i]! * (1 - 1e-12));
          expect(filled.shares[i]).to.be.at.least((floor / scores.length) * (1 - 1e-12));
          scores.forEach((score, j) => {
            if (scores[i]! <= score) expect(p).to.be.at.most(filled.probabilities[j]!);
          });
        });
      }),
    );
  });

  it('trains every block that has a score where gamma is their number', () => {
    expect(samplingProbabilities([3, 1, 2], {gamma: 3}).probabilities).to.deep.equal([1, 1, 1]);
    captureWarnings(() => {
      const {probabilities} = samplingProbabilities([3, 0, 1e-9], {gamma: 2});
      expect(probabilities).to.deep.equal([1, 0, 1]);
    });
  });

  it('takes the defaults for options that are undefined', () => {
    const options = {gamma: undefined, method: undefined, floor: undefined};
    const scores = [1, 2, 3, 4, 5, 6];
    expect(samplingProbabilities(scores, options)).to.deep.equal(samplingProbabilities(scores));
    expect(samplingProbabilities(scores)).to.deep.include({
      ...{gamma: 5, method: 'waterfill', floor: 0},
    });
  });

  it('mixes with the uniform distribution by floor', () => {
    const {probabilities, shares} = samplingProbabilities([3, 1, 0, 0], {gamma: 1, floor: 0.2});
    expectClose(shares, [0.65, 0.25, 0.05, 0.05], 1e-15);
    expectClose(probabilities, [0.65, 0.25, 0.05, 0.05], 1e-15);
    expectClose(samplingProbabilities([3, 1], {gamma: 1, floor: 1}).probabilities, [0.5, 0.5], 0);
  });

  it('warns once, by name, of blocks that will never be trained', () => {
    const scores = {scores: [1, 0, 2, 0], blocks: ['a', 'b', 'c', 'd']};
    const warnings = captureWarnings(() => samplingProbabilities(scores, {gamma: 2}));
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/never be trained unless floor > 0: b, d$/);
    expect(captureWarnings(() => samplingProbabilities([0, 1], {gamma: 1}))[0]).to.match(/: #0$/);
    expect(captureWarnings(() => samplingProbabilities(scores, {gamma: 2, floor: 0.1}))).to.be
      .empty;
  });

  it('passes the names of the blocks on and returns plain JSON', () => {
    const result = samplingProbabilities({scores: [1, 3], blocks: ['a', 'b']}, {gamma: 1});
    expect(JSON.parse(JSON.stringify(result))).to.deep.equal({
      blocks: ['a', 'b'],
      probabilities: [0.25, 0.75],
      shares: [0.25, 0.75],
      gamma: 1,
      method: 'waterfill',
      floor: 0,
    });
  });

  it('says what is wrong and the way out', () => {
    const of = (scores: unknown, options?: object) => () =>
      captureWarnings(() => samplingProbabilities(scores as number[], options));
    expect(of([0, 0], {gamma: 1})).to.throw(`smaller tau, or with tau: 'auto'`);
    expect(of([1, 2], {gamma: 3})).to.throw(/gamma .*must be a number > 0 and <= 2|<= 2.*got 3/);
    expect(of([1, 2], {gamma: 0})).to.throw('got 0');
    expect(of([1, 0, 2, 0], {gamma: 3})).to.throw(
      'gamma must be <= 2, the number of blocks with a score above 0, or floor > 0; got 3',
    );
    expect(of([1, 0, 2, 0], {gamma: 2.5})).to.throw('gamma must be <= 2');
    expect(of([1, -2], {gamma: 1})).to.throw('scores[1] is -2');
    expect(of([1, NaN], {gamma: 1})).to.throw('scores[1] is NaN');
    expect(of([1, Infinity], {gamma: 1})).to.throw('scores[1] is Infinity');
    expect(of([], {gamma: 1})).to.throw('scores must be a non-empty array');
    const forgotten = Promise.resolve([1]) as unknown as number[];
    expect(of(forgotten, {gamma: 1})).to.throw('scores is a promise: await it');
    expect(of(null, {gamma: 1})).to.throw('got null');
    expect(of({score: [1]}, {gamma: 1})).to.throw(`as 'scores' or 'ratios'`);
    expect(of({scores: [1, 2], blocks: ['a']}, {gamma: 1})).to.throw('blocks must name each');
    expect(of({scores: [1, 2], blocks: ['a', 'a']}, {gamma: 1})).to.throw('blocks must name each');
    expect(of([1, 2], {gamma: 1, method: 'cut'})).to.throw(`one of 'waterfill', 'clip'; got 'cut'`);
    expect(of([1, 2], {gamma: 1, floor: 2})).to.throw('floor must be a number >= 0 and <= 1');
    expect(of([1, 2], {gama: 1})).to.throw(`did you mean 'gamma'`);
  });

  it('refuses scores of a stranger that are none', () => {
    const refuse = (scores: unknown, message: string | RegExp) =>
      expect(() => samplingProbabilities(scores as number[], {gamma: 1})).to.throw(message);
    refuse(
      [1e308, 1.5e308],
      'samplingProbabilities: the scores add up to more than the largest number; divide all of them by the largest, 1.5e+308',
    );
    for (const blocks of [null, 5, 'ab', [1, 2], {length: 2}, ['a', 'a'], ['a']]) {
      refuse({scores: [1, 2], blocks}, /blocks must name each of the 2 scores once; got/);
    }
    for (const scores of [
      '{"__proto__":{"scores":[1,2]}}',
      '{"scores":{"0":1,"length":1}}',
      'null',
    ]) {
      refuse(JSON.parse(scores), /scores must be a non-empty array of numbers/);
    }
    // a message stays one
    refuse({scores: 'a'.repeat(1e6)}, /^.{0,800}$/);
  });
});

describe('presetScores', () => {
  it('uniform gives every block gamma / N', () => {
    const {probabilities} = samplingProbabilities(presetScores('uniform', 4), {gamma: 3});
    expectClose(probabilities, [0.75, 0.75, 0.75, 0.75], 1e-15);
  });

  it('decreasing falls in a straight line from shallow to deep', () => {
    expect(presetScores('decreasing', 4)).to.deep.equal([4, 3, 2, 1]);
  });
});
