import {expect} from 'chai';
import {rejection} from '../support/rejection';
import {SavePace} from '../../src/worker/save_pace';

describe('SavePace', () => {
  let time = 0;
  const takes = (seconds: number) => async (): Promise<void> => void (time += seconds);
  beforeEach(() => (time = 100));

  it('has saving take a twentieth of the time', async () => {
    const pace = new SavePace(() => time);
    pace.begin();
    for (const [seconds, until] of [
      [4, 5], // before the first save nobody knows how long one takes
      [4, 76],
      [10, 76],
      [0.01, 190],
      [0.01, 19], // often enough for a save that takes no time
    ] as const) {
      time += until - 0.1;
      expect(pace.isDue, `after ${until} s`).to.equal(false);
      time += 0.1;
      expect(pace.isDue, `after ${until} s`).to.equal(true);
      await pace.measure(takes(seconds));
    }
  });

  it('does not count the time in which a training waits', () => {
    const pace = new SavePace(() => time);
    pace.begin();
    time += 1000;
    pace.begin();
    expect(pace.isDue).to.equal(false);
  });

  it('leaves due what could not be saved', async () => {
    const pace = new SavePace(() => time);
    pace.begin();
    time += 20;
    await rejection(pace.measure(() => Promise.reject(new Error('full'))));
    expect(pace.isDue).to.equal(true);
  });
});
