/** Losses by step: of each step, smoothed, and held out. */
import {color, setText} from '../dom';
import type {RunLog} from '../run_log';
import {lossText, rateText} from '../words';
import {makePlot, type Plot} from './plot';

export class LossChart {
  private readonly plot: Plot;
  private log: RunLog | null = null;
  private pointed: number | null = null;
  private readonly idle: {label: string; readout: string};

  constructor(
    private readonly target: HTMLElement,
    private readonly readout: HTMLElement,
  ) {
    this.idle = {label: target.ariaLabel ?? '', readout: readout.textContent ?? ''};
    this.plot = makePlot(target, {
      series: [
        {stroke: () => color('raw'), width: 1, points: {show: false}},
        {stroke: () => color('blue'), width: 2.5, points: {show: false}},
        {
          stroke: () => color('held-out'),
          width: 2,
          spanGaps: true,
          points: {show: true, size: 7, fill: () => color('held-out')},
        },
      ],
      yRange: (_, min, max) => {
        if (min == null || max == null) return [0, 5];
        const room = Math.max(0.06 * (max - min), 0.02);
        return [min - room, max + room];
      },
      yValues: (values) => {
        const digits = Math.max(...values.map((value) => decimals(Number(value.toFixed(3)))));
        return values.map((value) => value.toFixed(digits));
      },
      onPoint: (index) => {
        this.pointed = index;
        this.showReadout();
      },
    });
  }

  draw(log: RunLog): void {
    this.log = log;
    const heldOut = new Map(log.heldOut.map(({step, loss}) => [step, loss]));
    const first = log.steps[0]?.step ?? 1;
    // Held out before training is at step 0.
    const starts = heldOut.has(first - 1) ? [first - 1] : [];
    const x = [...starts, ...log.steps.map(({step}) => step)];
    this.plot.set(
      [
        x,
        [...starts.map(() => null), ...log.steps.map(({loss}) => finite(loss))],
        [...starts.map(() => null), ...log.smoothed],
        x.map((step) => finite(heldOut.get(step))),
      ],
      log.info?.steps ?? 1,
    );
    this.showReadout();
  }

  /** What the picture shows, for those who do not see it. */
  describe(log: RunLog): void {
    const first = log.steps[0];
    const {last} = log;
    if (!first || !last) {
      this.target.ariaLabel = this.idle.label;
      return;
    }
    const heldOut = log.heldOut
      .map(({step, loss}) => `${lossText(loss)} at step ${step}`)
      .slice(-1)
      .join('');
    this.target.setAttribute(
      'aria-label',
      `Loss by step: ${lossText(first.loss)} at step ${first.step}, smoothed ${lossText(log.smoothed.at(-1))} at step ${last.step}` +
        (heldOut ? `; held out ${heldOut}` : ''),
    );
  }

  rows(log: RunLog): string[][] {
    const heldOut = new Map(log.heldOut.map(({step, loss}) => [step, loss]));
    const every = Math.max(1, Math.round((log.info?.steps ?? 1) / 20));
    const rows = log.steps.flatMap(({step, loss, learningRate}, i) =>
      step % every === 0 || heldOut.has(step)
        ? [
            [
              String(step),
              lossText(loss),
              lossText(log.smoothed[i]),
              lossText(heldOut.get(step)),
              rateText(learningRate),
            ],
          ]
        : [],
    );
    return [['Step', 'Loss', 'Smoothed', 'Held out', 'Rate'], ...rows];
  }

  private showReadout(): void {
    const {log} = this;
    if (!log || log.steps.length === 0) {
      setText(this.readout, this.idle.readout);
      return;
    }
    const shift = log.heldOut.some(({step}) => step === log.steps[0]!.step - 1) ? 1 : 0;
    const at = this.pointed === null ? log.steps.length - 1 : Math.max(this.pointed - shift, 0);
    const step = log.steps[at];
    if (!step) return;
    const heldOut = log.heldOut.filter((one) => one.step <= step.step).at(-1);
    setText(
      this.readout,
      `Step ${step.step}: loss ${lossText(step.loss)}, smoothed ${lossText(log.smoothed[at])} nats a token` +
        (heldOut ? `; held out ${lossText(heldOut.loss)} at step ${heldOut.step}` : ''),
    );
  }
}

function decimals(value: number): number {
  return String(value).split('.')[1]?.length ?? 0;
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
