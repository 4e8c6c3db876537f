import {expect} from 'chai';
import {Oversubscription} from '../../../src/kernels/wasm/oversubscription';

describe('Oversubscription', () => {
  let time: number;
  let found: Oversubscription;

  beforeEach(() => {
    time = 0;
    found = new Oversubscription(() => time);
  });

  /** How long it is on from now, in whole milliseconds. */
  function lasts(): number {
    const from = time;
    while (found.isOn) time++;
    return time - from;
  }

  /** Two calls in which another program had the processor for 4 ms. */
  function twoLate(): void {
    for (let i = 0; i < 2; i++) {
      time += 20;
      found.note(4.5, 0.5);
    }
  }

  it('is off for calls that take as long as they may, and where one is late now and then', () => {
    for (let i = 0; i < 1000; i++) {
      time += 1;
      found.note(i % 60 === 0 ? 6 : 1, 1);
      expect(found.isOn).to.equal(false);
    }
  });

  it('is on for a while after two late calls, for longer the longer they stay late, and not for ever', () => {
    const times = Array.from({length: 5}, () => {
      twoLate();
      return lasts();
    });
    expect(times).to.deep.equal([100, 400, 1600, 4000, 4000]);
    time += 10_000;
    twoLate();
    expect(lasts()).to.equal(100);
  });
});
