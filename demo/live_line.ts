/** One line that says where training is: a progress bar in a terminal, a line now and then in a file or a pipe. */
import {SingleBar} from 'cli-progress';
import type {StepRecord} from '../src/report/report';

export interface LiveLine {
  /** Shows the last of `done` steps. */
  show(done: number, step: StepRecord): void;
  end(): void;
}

export function startLiveLine(steps: number): LiveLine {
  return process.stdout.isTTY ? progressBar(steps) : plainLines(steps);
}

function progressBar(steps: number): LiveLine {
  const bar = new SingleBar({
    format: '{bar} {value}/{total}  {what}  {eta_formatted} left',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 12,
    etaBuffer: 40,
    stream: process.stdout,
  });
  bar.start(steps, 0, {what: 'starting'});
  return {
    show: (done, step) => bar.update(done, {what: describe(step)}),
    end: () => bar.stop(),
  };
}

function plainLines(steps: number): LiveLine {
  const start = performance.now();
  const every = Math.ceil(steps / 20);
  return {
    show: (done, step) => {
      if (done % every !== 0 && done !== steps) return;
      const left = ((performance.now() - start) / done) * (steps - done);
      console.log(`${done}/${steps}  ${describe(step)}  ${Math.round(left / 1000)}s left`);
    },
    end: () => undefined,
  };
}

/** `loss 2.913  lr 1.2e-3  ■□■■□□■□  377 MB`: the squares are the blocks, filled where they trained. */
function describe({loss, learningRate, active, peak}: StepRecord): string {
  const blocks = active.map((on) => (on ? '■' : '□')).join('');
  const megabytes = (peak / 1e6).toFixed(0);
  return `loss ${loss.toFixed(3)}  lr ${learningRate.toExponential(1)}  ${blocks}  ${megabytes} MB`;
}
