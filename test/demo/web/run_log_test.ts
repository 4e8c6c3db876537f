import {EventEmitter} from 'eventemitter3';
import {expect} from 'chai';
import {heldOutNote, lossNote} from '../../../demo/web/figure_notes';
import {RunLog} from '../../../demo/web/run_log';
import type {FineTuning} from '../../../src/worker/fine_tuning';
import type {HistoryEntry, RunInfo, StepEvent} from '../../../src/worker/events';

const step = (step: number, loss: number, blocks = [step % 3]): StepEvent =>
  ({step, loss, blocks, seconds: 0.5, tokens: 100}) as StepEvent;

const info = (history: HistoryEntry[] = []): RunInfo => ({steps: 20, history}) as RunInfo;

describe('demo/web: RunLog', () => {
  function logOf(): {run: EventEmitter; log: RunLog; changes: () => number} {
    const run = new EventEmitter();
    let changes = 0;
    const log = new RunLog(run as unknown as FineTuning, () => changes++);
    return {run, log, changes: () => changes};
  }

  it('keeps what is told, and tells of each', () => {
    const {run, log, changes} = logOf();
    expect([log.last, log.speed, log.secondsLeft]).to.deep.equal([undefined, null, null]);
    run.emit('ready', info());
    run.emit('heldOut', {step: 0, loss: 4});
    run.emit('period', {step: 1, blocks: [1], why: 'drawn'});
    run.emit('step', step(1, 4));
    run.emit('step', step(2, 2));
    run.emit('period', {step: 3, blocks: [2], why: 'drawn'});
    run.emit('sample', {step: 2, prompt: 'A', text: 'b'});
    expect(changes()).to.equal(7);
    expect(log.steps.map(({loss}) => loss)).to.deep.equal([4, 2]);
    expect(log.smoothed).to.deep.equal([4, 3]); // of the first ones the mean
    expect(Array.from(log.stepsTrained, (count) => count ?? 0)).to.deep.equal([0, 1, 1]);
    expect(log.periodOf(2)).to.include({step: 1});
    expect(log.periodOf(3)).to.include({step: 3});
    expect(log.speed).to.equal(200);
    expect(log.secondsLeft).to.be.closeTo(0.5 * 18, 0.1);
    log.isStopping = true;
    expect(log.secondsLeft).to.equal(0);
    run.emit('done', {step: 2, steps: 20});
    expect(log.outcome).to.include({step: 2});
  });

  it('counts the held-out losses to come to the time that is left, and no break', () => {
    const {run, log} = logOf();
    const {now} = performance;
    let time = 0;
    performance.now = () => 1000 * time;
    try {
      run.emit('ready', info());
      time += 10;
      run.emit('heldOut', {step: 0, loss: 4});
      run.emit('step', step(1, 4));
      // by default one after each tenth of 20 steps
      expect(log.secondsLeft).to.equal(0.5 * 19 + 10 * 10);
      run.emit('step', step(2, 4));
      time += 100;
      run.emit('resumed', {step: 2});
      time += 6;
      run.emit('heldOut', {step: 2, loss: 3});
      expect(log.secondsLeft).to.equal(0.5 * 18 + 6 * 9);
      for (let i = 3; i <= 10; i++) run.emit('step', step(i, 4));
      time += 6;
      run.emit('heldOut', {step: 10, loss: 3});
      expect(log.secondsLeft).to.equal(0.5 * 10 + 6 * 2);
    } finally {
      performance.now = now;
    }
  });

  it('has the learning rate of the last step, until another is set for the next one', () => {
    const {run, log} = logOf();
    const history: HistoryEntry[] = [
      {event: 'step', data: {...step(1, 4), learningRate: 5e-4}},
      {event: 'rate', data: {step: 2, learningRate: 1e-5}}, // while it was paused
    ];
    expect(log.rate).to.equal(undefined);
    run.emit('ready', info(history));
    expect(log.rate).to.equal(1e-5);
    run.emit('step', {...step(2, 4), learningRate: 9e-6});
    expect(log.rate).to.equal(9e-6);
    run.emit('rate', {step: 3, learningRate: 1e-3});
    expect(log.rate).to.equal(1e-3);
    run.emit('done', {step: 2, steps: 20});
    expect(log.rate).to.equal(9e-6);
  });

  it('knows whether there is a checkpoint', () => {
    const {run, log} = logOf();
    run.emit('ready', {...info(), step: 0});
    run.emit('step', step(1, 4));
    expect(log.isSaved).to.equal(false);
    run.emit('checkpoint', {step: 1, bytes: 1});
    expect(log.isSaved).to.equal(true);
    const other = logOf();
    other.run.emit('ready', {...info(), step: 1});
    expect(other.log.isSaved).to.equal(true);
  });

  it('says from where the line of the smoothed loss falls, and of which step the held-out loss is', () => {
    const {run, log} = logOf();
    expect([lossNote(log), heldOutNote(log)]).to.eql(['smoothed', 'on text it never trains on']);
    run.emit('heldOut', {step: 0, loss: 4.65});
    for (let i = 1; i <= 18; i++) run.emit('step', step(i, i === 1 ? 4.65 : 3.8));
    expect(heldOutNote(log)).to.equal('at step 0');
    expect(lossNote(log)).to.equal('smoothed, from 4.650');
    run.emit('heldOut', {step: 20, loss: 3.5});
    expect(heldOutNote(log)).to.equal('at step 20, from 4.650');
  });

  it('begins with the history of a run that goes on', () => {
    const {run, log} = logOf();
    const history: HistoryEntry[] = [
      {event: 'heldOut', data: {step: 0, loss: 4}},
      {event: 'step', data: step(1, 4)},
      {event: 'step', data: step(2, 3)},
    ];
    run.emit('ready', info(history));
    run.emit('step', step(3, 2));
    expect(log.steps.map(({step}) => step)).to.deep.equal([1, 2, 3]);
    expect(log.heldOut).to.deep.equal([{step: 0, loss: 4}]);
  });

  it('has a step that was made again once, as it was the last time', () => {
    const {run, log} = logOf();
    run.emit('ready', info());
    for (let i = 1; i <= 4; i++) run.emit('step', step(i, 5, [0]));
    run.emit('heldOut', {step: 3, loss: 5});
    run.emit('heldOut', {step: 4, loss: 5});
    run.emit('step', step(3, 1, [1]));
    run.emit('heldOut', {step: 3, loss: 1});
    expect(log.steps.map(({step, loss}) => [step, loss])).to.deep.equal([[1, 5], [2, 5], [3, 1]]); // prettier-ignore
    expect(log.smoothed).to.have.length(3);
    expect(log.stepsTrained).to.deep.equal([2, 1]);
    expect(log.heldOut).to.deep.equal([{step: 3, loss: 1}]);
  });

  it('has a sample for each prompt of a step', () => {
    const {run, log} = logOf();
    run.emit('ready', info());
    const tell = (step: number, ...prompts: string[]): void =>
      prompts.forEach((prompt) => run.emit('sample', {step, prompt, text: 'x'}));
    const shown = (): string[] => log.samples.map(({step, prompt}) => `${step}${prompt}`);
    tell(0, 'A', 'B');
    tell(2, 'A', 'B');
    tell(4, 'A');
    expect(shown()).to.deep.equal(['0A', '0B', '2A', '2B', '4A']);
    tell(2, 'A'); // after a break
    expect(shown()).to.deep.equal(['0A', '0B', '2A']);
    tell(2, 'B');
    expect(shown()).to.deep.equal(['0A', '0B', '2A', '2B']);
  });

  it('does not lose its average to a loss that is not finite', () => {
    const {run, log} = logOf();
    run.emit('ready', info());
    [2, NaN, 4].forEach((loss, i) => run.emit('step', step(i + 1, loss)));
    expect(log.smoothed.every(Number.isFinite)).to.equal(true);
  });
});
