/** uPlot as this page has it: as wide as its place, in the colours of the day, drawn when the browser draws. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import {color, onColorsChange} from '../dom';
import {frames} from '../frames';

const font = '12px system-ui, "DejaVu Sans", sans-serif';
const wholeSteps = [0, 1, 2, 3, 4, 5].flatMap((e) => [1, 2, 5].map((n) => n * 10 ** e));

export interface PlotOptions {
  series: uPlot.Series[];
  bands?: uPlot.Band[];
  yRange: uPlot.Scale.Range;
  yValues: (values: number[]) => string[];
  /** Called with the index in the data that is pointed at, or null. */
  onPoint: (index: number | null) => void;
  draw?: (plot: uPlot) => void;
}

export interface Plot {
  set(data: uPlot.AlignedData, steps: number): void;
}

function isEmpty({data}: uPlot): boolean {
  return data[0].length === 0;
}

export function makePlot(target: HTMLElement, options: PlotOptions): Plot {
  let steps = 200;
  const axis = (): uPlot.Axis => ({
    stroke: () => color('soft'),
    font,
    grid: {stroke: () => color('line'), width: 1},
    ticks: {stroke: () => color('line'), width: 1, size: 4},
  });
  const plot = new uPlot(
    {
      width: target.clientWidth || 300,
      height: target.clientHeight || 250,
      padding: [8, 16, 0, 0],
      legend: {show: false},
      cursor: {drag: {x: false, y: false}, points: {size: 7}, y: false},
      scales: {x: {time: false, range: () => [0, steps]}, y: {range: options.yRange}},
      axes: [
        // without a step yet there is nothing to say
        {
          ...axis(),
          space: 56,
          size: 30,
          incrs: wholeSteps,
          values: (u, values) => values.map((value) => (isEmpty(u) ? '' : String(value))),
        },
        {
          ...axis(),
          size: 62,
          space: 34,
          values: (u, values) => (isEmpty(u) ? values.map(() => '') : options.yValues(values)),
        },
      ],
      series: [{}, ...options.series],
      bands: options.bands ?? [],
      hooks: {
        setCursor: [(u) => options.onPoint(u.cursor.idx ?? null)],
        draw: options.draw ? [options.draw] : [],
      },
    },
    [[], ...options.series.map(() => [])],
    target,
  );
  const fit = () => {
    const {clientWidth: width, clientHeight: height} = target;
    if (width > 0 && (width !== plot.width || height !== plot.height))
      plot.setSize({width, height});
  };
  const redraw = () => plot.redraw(false);
  new ResizeObserver(() => frames.ask(fit)).observe(target);
  onColorsChange(() => frames.ask(redraw));
  return {
    set(data, count) {
      const wasEmpty = isEmpty(plot);
      steps = Math.max(count, 1);
      plot.setData(data);
      // Where its scale stays, an axis keeps its texts.
      if (wasEmpty !== isEmpty(plot)) plot.redraw(false, true);
    },
  };
}
