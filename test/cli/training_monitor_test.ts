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

  /** A monitor that has seen held-out losses, of step 0, 1, … */
  function after(losses: readonly number[], keepBest: boolean | number): TrainingMonitor {
    const monitor = monitorOf({keepBest});
    const entries = losses.flatMap((loss, step): LogEntry[] => [
      ...(step > 0
        ? [{event: 'step' as const, step, loss: 1, learningRate: 1, blocks: [], seconds: 0, peakBytes: 0}] // prettier-ignore
        : []),
      {event: 'heldOut', step, loss},
    ]);
    monitor.restore({steps: losses.length - 1, stateBytes: 0, begun: null}, entries);
    return monitor;
  }

  it('keeps the step with the lowest held-out loss, the first of equal ones, and not the beginning', () => {
    for (const [losses, step] of [
      [[3, 2, 1], 2],
      [[1, 2, 3], 1],
      [[3, 2, 2], 1],
      [[3, NaN, 4], 2],
      [[3, NaN, NaN], 2],
      [[3], 0],
    ] as const) {
      const monitor = after(losses, true);
      expect(monitor.kept, String(losses)).to.deep.equal({step, loss: losses[step]});
      const isBest = step > 0 && step === losses.length - 1 && losses[step]! > 0;
      expect(monitor.isBest, String(losses)).to.equal(isBest);
      expect(monitor.isOver).to.equal(false);
    }
    const last = after([3, 1, 2], false);
    expect([last.kept.step, last.isBest]).to.deep.equal([2, false]);
  });

  it('is over when as many losses in a row as it waits for were not lower, as with Keras', () => {
    for (const [losses, patience, isOver] of [
      [[3, 2, 2.5], 1, true],
      [[3, 2, 2.5], 2, false],
      [[3, 2, 2], 1, true],
      [[3, 2, 2.5, 1.5], 1, false],
      [[3, 2, 2.5, 2.4], 2, true],
      [[1, 2], 1, false],
      [[1, NaN, NaN], 2, true],
      [[1], 1, false],
    ] as const)
      expect(after(losses, patience).isOver, `${losses}; ${patience}`).to.equal(isOver);
  });

  it('has answers from its log, and takes no others for such', () => {
    const answers = [{prompt: 'a', text: 'b'}];
    const entry = {event: 'answers', step: 0, answers};
    const monitor = monitorOf();
    const checked = checkedEntry('log', JSON.parse(JSON.stringify(entry)))!;
    monitor.restore({steps: 0, stateBytes: 0, begun: null}, [checked]);
    expect(monitor.answers).to.deep.equal([{step: 0, answers}]);
    for (const wrong of [null, {}, [null], [{prompt: 'a'}], [{prompt: 'a', text: 1}]])
      expect(() => checkedEntry('log', {...entry, answers: wrong})).to.throw(/is no entry/);
    // the run that goes on saves its model anew
    expect(checkedEntry('log', {event: 'saved', step: 3, loss: 1})).to.equal(null);
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
