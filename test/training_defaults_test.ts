import {expect} from 'chai';
import {learningRateAt} from '../src/owlore/optimizer/schedule';
import {rateFrom, rateOf, schedules, type ScheduleName} from '../src/training_defaults';

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
