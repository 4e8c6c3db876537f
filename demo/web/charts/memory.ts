/** Memory at the peak of each step, by part, below the line of plain fine-tuning. */
import {color, setText} from '../dom';
import type {StepEvent} from '../library';
import type {RunLog} from '../run_log';
import {bytesText, percentText} from '../words';
import {makePlot, type Plot} from './plot';

export class MemoryChart {
  private readonly plot: Plot;
  private log: RunLog | null = null;
  private pointed: number | null = null;
  private plain = 0;
  private readonly idle: {label: string; readout: string};

  constructor(
    private readonly target: HTMLElement,
    private readonly readout: HTMLElement,
  ) {
    this.idle = {label: target.ariaLabel ?? '', readout: readout.textContent ?? ''};
    // Each area reaches from 0 to the sum of its part and those below it, so the largest is drawn first.
    const area = (name: string) => ({
      stroke: () => color(name),
      fill: () => color(name),
      width: 0,
      points: {show: false},
    });
    this.plot = makePlot(target, {
      series: [area('activations'), area('state'), area('weights')],
      yRange: (_, __, max) => [0, Math.max(max ?? 0, this.plain, 1) * 1.16],
      yValues: (values) => values.map((value) => (value === 0 ? '0' : tickText(value))),
      onPoint: (index) => {
        this.pointed = index;
        this.showReadout();
      },
      draw: (u) => {
        if (this.plain === 0) return;
        const {ctx, bbox} = u;
        const y = Math.round(u.valToPos(this.plain, 'y', true));
        ctx.save();
        ctx.strokeStyle = color('held-out');
        ctx.lineWidth = 2 * devicePixelRatio;
        ctx.setLineDash([8 * devicePixelRatio, 5 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.fillStyle = color('held-out');
        ctx.font = `${12 * devicePixelRatio}px system-ui, "DejaVu Sans", sans-serif`;
        ctx.textAlign = 'right';
        ctx.textBaseline = 'bottom';
        const words = `plain fine-tuning ${bytesText(this.plain)}`;
        ctx.fillText(
          words,
          bbox.left + bbox.width - 4 * devicePixelRatio,
          y - 5 * devicePixelRatio,
        );
        ctx.restore();
      },
    });
  }

  draw(log: RunLog): void {
    this.log = log;
    this.plain = log.info?.plainBytes ?? 0;
    const {steps} = log;
    this.plot.set(
      [
        steps.map(({step}) => step),
        steps.map(total),
        steps.map(({memory}) => memory.weights + memory.state),
        steps.map(({memory}) => memory.weights),
      ],
      log.info?.steps ?? 1,
    );
    this.showReadout();
  }

  describe(log: RunLog): void {
    const {last} = log;
    if (!last) {
      this.target.ariaLabel = this.idle.label;
      return;
    }
    this.target.setAttribute(
      'aria-label',
      `Memory by step: ${words(last)} at step ${last.step}; plain fine-tuning would take ${bytesText(this.plain)}`,
    );
  }

  rows(log: RunLog): string[][] {
    const every = Math.max(1, Math.round((log.info?.steps ?? 1) / 20));
    const rows = log.steps.flatMap((step) =>
      step.step % every === 0
        ? [
            [
              String(step.step),
              bytesText(step.memory.weights),
              bytesText(step.memory.state),
              bytesText(step.memory.activations),
              bytesText(total(step)),
            ],
          ]
        : [],
    );
    return [['Step', 'Weights', 'Optimizer', 'Activations', 'All'], ...rows];
  }

  private showReadout(): void {
    const step = this.pointed === null ? this.log?.last : this.log?.steps[this.pointed];
    if (!step) {
      if (!this.log?.last) setText(this.readout, this.idle.readout);
      return;
    }
    const part =
      this.plain > 0 ? `, ${percentText(total(step) / this.plain)} of plain fine-tuning` : '';
    setText(this.readout, `Step ${step.step}: ${words(step)}${part}`);
  }
}

/** Ticks are at round values. */
function tickText(bytes: number): string {
  return bytesText(bytes).replace(/[.]0+(?=\u00a0)/, '');
}

function words(step: StepEvent): string {
  const {weights, state, activations} = step.memory;
  return (
    `${bytesText(total(step))} (weights ${bytesText(weights)}, optimizer ${bytesText(state)}, ` +
    `activations ${bytesText(activations)})`
  );
}

export function total({memory}: StepEvent): number {
  return memory.weights + memory.state + memory.activations;
}
