import * as Plot from '@observablehq/plot';
import {parseHTML} from 'linkedom';
import type {SettingSummary} from '../compare/summary';
import {svgText} from './svg_text';

/** Okabe and Ito's blue and orange, which colour-blind readers can tell apart. */
const [BLUE, ORANGE] = ['#0072b2', '#d55e00'];

/** An SVG: held-out loss against peak memory of the methods, with the standard deviation over seeds and the Pareto front. */
export function drawLossAndMemory({stages, front}: SettingSummary): string {
  const {document} = parseHTML('<!doctype html><html><body></body></html>');
  const rows = stages.find(({name}) => name === 'main')?.rows ?? [];
  const points = rows.map(({title, loss, deviation, losses, memory}) => ({
    ...{title, loss, megabytes: memory.peak / 1e6},
    spread: losses.length > 1 ? deviation : 0,
    isOnFront: front.includes(title),
  }));
  const onFront = front.flatMap((title) => points.filter((point) => point.title === title));
  const at = {x: 'megabytes', y: 'loss'};
  return svgText(
    Plot.plot({
      document,
      ...{
        width: 800,
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
        Plot.text(points, {
          ...{...at, text: 'title', textAnchor: 'start', dx: 8, dy: -9},
          ...{stroke: 'white', strokeWidth: 4, fill: 'black'},
        }),
      ],
    }) as SVGElement,
  );
}
