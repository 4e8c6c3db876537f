import {expect} from 'chai';
import type {HistoryEntry, StepEvent} from '../../src/worker/events';
import {History} from '../../src/worker/history';

const step = (step: number, loss: number): HistoryEntry => ({
  event: 'step',
  data: {step, loss, seconds: 2} as StepEvent,
});

describe('History', () => {
  it('tells what is added, and comes through JSON with losses that are not finite', () => {
    const told: HistoryEntry[] = [];
    const history = new History((entry) => told.push(entry));
    const entries: HistoryEntry[] = [
      {event: 'heldOut', data: {step: 0, loss: 3}},
      step(1, 2),
      step(2, NaN),
    ];
    entries.forEach((entry) => history.add(entry));
    expect(told).to.deep.equal(entries);
    const other = new History(() => expect.fail('nothing is new'));
    other.goOnFrom(JSON.parse(JSON.stringify(history.keep())) as ReturnType<History['keep']>);
    expect(other.entries).to.deep.equal(entries);
    expect(other.has('step', 2)).to.equal(true);
    expect(other.has('heldOut', 2)).to.equal(false);
  });

  it('keeps what is added after a checkpoint apart from it, also once it is opened again', () => {
    const history = new History(() => undefined);
    history.add(step(1, 2));
    const checkpoint = history.keep();
    expect(history.keepSince()).to.deep.equal([]);
    history.add({event: 'heldOut', data: {step: 1, loss: NaN}});
    const since = history.keepSince();
    expect(since).to.deep.equal([{event: 'heldOut', data: {step: 1, loss: null}}]);
    const other = new History(() => undefined);
    other.goOnFrom(checkpoint, since);
    expect(other.entries).to.deep.equal(history.entries);
    expect(other.keepSince()).to.deep.equal(since);
  });

  it('says how far a training has come', () => {
    const history = new History(() => undefined);
    expect(history.outcome(0, 9)).to.deep.equal({
      ...{step: 0, steps: 9, loss: NaN, heldOut: null, seconds: 0, stopped: true},
    });
    [step(1, 4), step(2, 3)].forEach((entry) => history.add(entry));
    history.add({event: 'heldOut', data: {step: 2, loss: 5}});
    expect(history.outcome(2, 2)).to.deep.equal({
      ...{step: 2, steps: 2, loss: 3, heldOut: 5, seconds: 4, stopped: false},
    });
  });
});
