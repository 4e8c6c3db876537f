import * as Plot from '@observablehq/plot';
import {parseHTML} from 'linkedom';
import {onePlot, type SettingSummary} from '../compare/summary';
import {svgText} from './svg_text';

/** Okabe and Ito's blue and orange, which colour-blind readers can tell apart. */
const [BLUE, ORANGE] = ['#0072b2', '#d55e00'];

/** An SVG: held-out loss against peak memory of the methods, with the standard deviation over seeds and the Pareto front. */
export function drawLossAndMemory({stages, paretoFront}: SettingSummary): string {
  const {document} = parseHTML('<!doctype html><html><body></body></html>');
  const points = onePlot(stages).map(({title, loss, deviation, losses, memory}) => ({
    ...{title, loss, megabytes: memory.peak / 1e6},
    spread: losses.length > 1 ? deviation : 0,
    isOnFront: paretoFront.includes(title),
  }));
  const onFront = paretoFront.flatMap((title) => points.filter((point) => point.title === title));
  const at = {x: 'megabytes', y: 'loss'};
  const labels = apart(points);
  return svgText(
    Plot.plot({
      document,
      ...{
        width: 960,
        height: 440,
        marginLeft: 60,
        marginRight: 130,
        marginBottom: 45,
        marginTop: 30,
      },
      x: {label: 'peak of the tensors in a step, MB', zero: true, nice: true},
      y: {label: 'held-out loss', grid: true, nice: true},
      style: {fontSize: '13px', background: 'white'},
      marks: [
        Plot.line(onFront, {...at, curve: 'step-after', stroke: BLUE, strokeDasharray: '4,4'}),
        Plot.ruleX(points, {
          x: 'megabytes',
          y1: ({loss, spread}: (typeof points)[0]) => loss - spread,
          y2: ({loss, spread}: (typeof points)[0]) => loss + spread,
          stroke: '#888888',
        }),
        Plot.dot(points, {
          ...{...at, r: 6, stroke: 'white'},
          fill: ({isOnFront}: (typeof points)[0]) => (isOnFront ? BLUE : ORANGE),
        }),
        Plot.text(labels, {
          ...{...at, text: 'title', textAnchor: 'start', dx: 10},
          ...{stroke: 'white', strokeWidth: 4, fill: 'black'},
        }),
      ],
    }) as SVGElement,
  );
}

/** A label for each point; those of points that are close are moved up until they can be read. */
function apart(
  points: ReadonlyArray<{title: string; megabytes: number; loss: number}>,
): Array<{title: string; megabytes: number; loss: number}> {
  const range = (values: number[]): number => Math.max(...values) - Math.min(...values);
  const width = 0.25 * range(points.map(({megabytes}) => megabytes));
  const height = 0.06 * range(points.map(({loss}) => loss));
  const placed: Array<(typeof points)[0]> = [];
  for (const point of [...points].sort((a, b) => a.loss - b.loss)) {
    const near = placed.filter((one) => Math.abs(one.megabytes - point.megabytes) < width);
    placed.push({...point, loss: Math.max(point.loss, ...near.map(({loss}) => loss + height))});
  }
  return placed;
}
