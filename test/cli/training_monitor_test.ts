import {expect} from 'chai';
import {checkedEntry, TrainingMonitor, type LogEntry} from '../../src/cli/training_monitor';

/** A monitor of which a test uses no more than what is given. */
function monitorOf(options: Partial<ConstructorParameters<typeof TrainingMonitor>[0]> = {}) {
  return new TrainingMonitor({
    ...{steps: 3, blocks: [], evaluateEvery: 1, optimizer: {learningRate: 1, stateBytes: 0}},
    meter: {
      ...{current: () => 0, peak: () => 0, bufferOf: () => undefined},
      ...{reset: () => undefined, stop: () => undefined},
    },
    evaluate: () => Promise.resolve(null),
    startProgress: () => ({line: () => undefined, end: () => undefined, update: () => undefined}),
    ...options,
  });
}

describe('TrainingMonitor', () => {
  it('shows how far the held-out loss is', async () => {
    const shown: Array<[number, string | undefined]> = [];
    const monitor = monitorOf({
      evaluate: async (watch) => {
        watch('8 of 12 examples');
        watch('12 of 12 examples');
        return 2;
      },
      startProgress: () => ({
        ...{line: () => undefined, end: () => undefined},
        update: (done, what) => void shown.push([done, what]),
      }),
    });
    await monitor.onTrainBegin();
    expect(shown).to.deep.equal([
      [0, 'held-out loss, 8 of 12 examples'],
      [0, 'held-out loss, 12 of 12 examples'],
    ]);
    expect(monitor.heldOut).to.deep.equal([{step: 0, loss: 2}]);
  });

  it('goes on from losses that are not finite, which are null in a log and in a checkpoint', () => {
    const step = {event: 'step', step: 1, loss: NaN, learningRate: 1e-3, blocks: ['a']};
    const written = [
      {event: 'heldOut', step: 0, loss: Infinity},
      {...step, seconds: 0.5, peakBytes: 7},
    ];
    const log = written.map((entry) =>
      checkedEntry('log', JSON.parse(JSON.stringify(entry))),
    ) as LogEntry[];
    const monitor = monitorOf({accumulate: 2});
    const begun = {batches: 1, lossSum: JSON.parse(JSON.stringify(NaN)) as null};
    monitor.restore({steps: 1, stateBytes: 3, begun}, log);
    expect(monitor.heldOut).to.deep.equal([{step: 0, loss: NaN}]);
    expect(monitor.steps).to.deep.equal([{loss: NaN, learningRate: 1e-3, active: [], peak: 7}]);
    expect(monitor.state().begun).to.deep.equal({batches: 1, lossSum: NaN});
  });

  it('takes nothing for an entry of a log that is none', () => {
    const step = {event: 'step', step: 1, loss: 2, learningRate: 1, blocks: ['a'], seconds: 1};
    for (const value of [
      ...[null, [], {}, {event: 'heldOut', step: 0.5, loss: 1}, {event: 'heldOut', step: 1}],
      ...[step, {...step, peakBytes: '7'}, {...step, peakBytes: 7, blocks: [1]}],
    ]) {
      expect(() => checkedEntry('log.jsonl', value)).to.throw(
        /log.jsonl has a line that is no entry/,
      );
    }
    expect(checkedEntry('log.jsonl', {event: 'end', state: 'done'})).to.equal(null);
  });
});
