/** The charts, figures and samples of one run. */
import {HeatMap} from './charts/heat_map';
import {LossChart} from './charts/loss';
import {MemoryChart, total} from './charts/memory';
import {atMostEvery, byId, element, nextTask, setText} from './dom';
import {heldOutNote, lossNote} from './figure_notes';
import {frames} from './frames';
import {showRate} from './rate_field';
import type {RunLog} from './run_log';
import {showSamples} from './samples';
import {bytesText, countText, lossText, percentText, secondsText} from './words';

/** Milliseconds between two drawings; small models make many steps in a second. */
export const DRAW_EVERY = 250;
const DESCRIBE_EVERY = 5000; // ms

interface Chart {
  draw(log: RunLog): void;
  describe(log: RunLog): void;
  rows(log: RunLog): string[][];
}

export interface Charts {
  loss: LossChart;
  heat: HeatMap;
  memory: MemoryChart;
}

/** Makes the charts, each in a task of its own. */
export async function makeCharts(): Promise<Charts> {
  const heat = new HeatMap(
    byId('heat'),
    byId('heat-rows'),
    byId<HTMLCanvasElement>('heat-cells'),
    byId('heat-readout'),
  );
  await nextTask();
  const loss = new LossChart(byId('loss-chart'), byId('loss-readout'));
  await nextTask();
  const memory = new MemoryChart(byId('memory-chart'), byId('memory-readout'));
  await nextTask();
  return {heat, loss, memory};
}

export class Stage {
  private readonly charts: {name: string; chart: Chart; draw: () => void}[];
  private log: RunLog | null = null;
  private described = 0;

  constructor(charts: Charts) {
    this.charts = Object.entries<Chart>({...charts}).map(([name, chart]) => ({
      name,
      chart,
      draw: () => {
        if (this.log) chart.draw(this.log);
      },
    }));
    for (const {name, chart} of this.charts) {
      byId(`${name}-card`)
        .querySelector('details')!
        .addEventListener('toggle', () => this.fillTable(name, chart));
    }
  }

  /** Shows another run. */
  show(log: RunLog): void {
    this.log = log;
    this.described = -Infinity;
    this.draw();
  }

  /** Draws what is new, some times a second. */
  readonly update = atMostEvery(() => this.draw(), DRAW_EVERY);

  private draw(): void {
    frames.ask(this.drawFigures, ...this.charts.map(({draw}) => draw), this.drawSamples);
    const now = performance.now();
    if (now - this.described > DESCRIBE_EVERY || this.log?.outcome) {
      this.described = now;
      frames.ask(this.describe);
    }
  }

  private readonly drawFigures = (): void => {
    if (this.log) showFigures(this.log);
  };

  private readonly drawSamples = (): void => {
    if (this.log) showSamples(this.log);
  };

  /** Brings texts and tables beside the pictures up to date. */
  private readonly describe = (): void => {
    const {log} = this;
    if (!log) return;
    for (const {name, chart} of this.charts) {
      chart.describe(log);
      this.fillTable(name, chart);
    }
  };

  private fillTable(name: string, chart: Chart): void {
    const {log} = this;
    if (!log || !byId(`${name}-card`).querySelector('details')!.open) return;
    const [head, ...rows] = chart.rows(log);
    byId(`${name}-table`).replaceChildren(
      element('tr', {}, ...head!.map((text) => element('th', {textContent: text, scope: 'col'}))),
      ...rows.map((row) =>
        element('tr', {}, ...row.map((text) => element('td', {textContent: text}))),
      ),
    );
  }
}

/** The figures above the charts. */
function showFigures(log: RunLog): void {
  const {info, last, heldOut} = log;
  setText(byId('figure-loss'), lossText(log.smoothed.at(-1)));
  setText(byId('figure-loss-note'), lossNote(log));
  setText(byId('figure-held-out'), lossText(heldOut.at(-1)?.loss));
  setText(byId('figure-held-out-note'), heldOutNote(log));
  const bytes = last && total(last);
  setText(byId('figure-memory'), bytes === undefined ? '–' : bytesText(bytes));
  setText(
    byId('figure-memory-note'),
    bytes !== undefined && info && info.plainBytes > 0
      ? `${percentText(bytes / info.plainBytes)} of plain fine-tuning`
      : 'at the peak of a step',
  );
  const {speed, secondsLeft} = log;
  setText(byId('figure-speed'), speed === null ? '–' : countText(speed));
  setText(
    byId('figure-speed-note'),
    info
      ? `tokens a second, ${info.backend}${info.threads > 1 ? ` × ${info.threads}` : ''}`
      : 'tokens a second',
  );
  setText(
    byId('figure-time'),
    log.outcome
      ? secondsText(log.outcome.seconds)
      : secondsLeft === null
        ? '–'
        : secondsText(secondsLeft),
  );
  setText(byId('figure-time-title'), log.outcome ? 'Time of steps' : 'Time left');
  setText(
    byId('figure-time-note'),
    info ? `step ${countText(last?.step ?? 0)} of ${countText(info.steps)}` : 'no step yet',
  );
  showRate(log);
}
