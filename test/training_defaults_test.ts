import {expect} from 'chai';
import {learningRateAt} from '../src/owlore/optimizer/schedule';
import {isHeldOut, MAX_HELD_OUT, rateFrom, rateOf, schedules, type ScheduleName} from '../src/training_defaults'; // prettier-ignore

describe('rateFrom', () => {
  const steps = 100;

  for (const schedule of Object.keys(schedules) as ScheduleName[]) {
    it(`has the next step at the new rate, and goes on by the schedule (${schedule})`, () => {
      const given = {learningRate: 2e-3, schedule, warmup: 10};
      const before = rateOf(given, steps);
      const after = rateFrom(40, {...given, learningRate: 5e-4}, steps);
      const factor = 5e-4 / learningRateAt(before, 40);
      for (const step of [40, 41, 70, 99, 100])
        expect(learningRateAt(after, step)).to.be.closeTo(factor * learningRateAt(before, step), 1e-18); // prettier-ignore
    });

    it(`does not rise above the new rate in what was the warm-up (${schedule})`, () => {
      const given = {learningRate: 1e-4, schedule, warmup: 10};
      const after = rateFrom(3, given, steps);
      const rates = Array.from({length: steps - 3}, (_, i) => learningRateAt(after, i + 3));
      expect(rates[0]).to.be.closeTo(1e-4, 1e-18);
      expect(Math.max(...rates)).to.equal(rates[0]);
    });
  }
});

describe('isHeldOut', () => {
  const heldOut = (count: number, validationSplit: number): number[] =>
    Array.from({length: count}, (_, i) => i).filter((i) => isHeldOut({validationSplit}, i));

  it('holds out a part that is spread evenly, from the first example on', () => {
    expect(heldOut(61, 0.05)).to.deep.equal([0, 20, 40, 60]);
    expect(heldOut(10, 0.3)).to.deep.equal([0, 3, 6]);
    expect(isHeldOut({validation: 'file', validationSplit: 0.05}, 0)).to.equal(false);
  });

  it('holds out no more than the most, however many examples there are', () => {
    const all = heldOut(100_000, 0.05);
    expect(all).to.deep.equal(Array.from({length: MAX_HELD_OUT}, (_, i) => 20 * i));
    expect(heldOut(10_000, 0.9)).to.have.length(MAX_HELD_OUT);
  });
});
