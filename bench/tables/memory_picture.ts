import * as Plot from '@observablehq/plot';
import {parseHTML} from 'linkedom';
import {categories, type Category, type Timeline} from '../harness/live_bytes';
import {svgText} from './svg_text';

export interface Panel extends Timeline {
  title: string;
}

/** Okabe and Ito's colours, which colour-blind readers can tell apart. */
const colors: Record<Category, string> = {
  weights: '#0072b2',
  'optimizer state': '#56b4e9',
  'saved activations': '#e69f00',
  gradients: '#009e73',
  'the rest': '#bbbbbb',
};

const WIDTH = 1000;
const MARGINS = {marginLeft: 55, marginRight: 10, marginTop: 45, marginBottom: 25};

/** An SVG: all panels on one scale, and below them all but the first, enlarged. */
export function drawTimelines(panels: readonly Panel[]): string {
  const {document} = parseHTML('<!doctype html><html><body></body></html>');
  const rows = [
    {node: legend(document), height: 40},
    {node: row(document, panels, 330), height: 350},
    {node: row(document, panels.slice(1), 310, ' (enlarged)'), height: 320},
  ];
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const height = rows.reduce((sum, row) => sum + row.height, 0);
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
  svg.setAttribute('width', String(WIDTH));
  svg.setAttribute('height', String(height));
  svg.innerHTML = '<rect width="100%" height="100%" fill="white"/>';
  let y = 0;
  for (const {node, height} of rows) {
    node.setAttribute('y', String(y));
    svg.append(node);
    y += height;
  }
  return svgText(svg);
}

interface Bar {
  panel: string;
  made: number;
  category: Category;
  megabytes: number;
}

function row(document: Document, panels: readonly Panel[], height: number, note = ''): SVGElement {
  const bars: Bar[] = panels.flatMap(({title, samples}) =>
    samples.flatMap((sample) =>
      categories.map((category) => ({
        panel: title,
        // each step from 0 to 1: the steps differ in how many buffers they make
        made: sample.made / samples.at(-1)!.made,
        category,
        megabytes: sample[category] / 1e6,
      })),
    ),
  );
  const peaks = panels.map(({title, samples}) => {
    const totals = samples.map((sample) =>
      categories.reduce((sum, category) => sum + sample[category], 0),
    );
    const megabytes = Math.max(...totals) / 1e6;
    const {made} = samples[totals.indexOf(Math.max(...totals))]!;
    return {panel: title, megabytes, made: made / samples.at(-1)!.made};
  });
  const forwardEnds = panels.map(({title, samples, forwardEnd}) => ({
    panel: title,
    made: forwardEnd / samples.at(-1)!.made,
  }));
  const highest = Math.max(...peaks.map(({megabytes}) => megabytes));
  const besideTheLine = {fx: 'panel', x: 'made', y: () => 1.12 * highest, fontStyle: 'italic'};
  return Plot.plot({
    document,
    width: WIDTH,
    height,
    ...MARGINS,
    fx: {domain: panels.map(({title}) => title), label: null, padding: 0.06},
    x: {label: 'one step, by the buffers made', ticks: [], labelAnchor: 'center'},
    y: {label: `MB alive${note}`, grid: true, nice: true},
    color: {domain: [...categories], range: categories.map((category) => colors[category])},
    style: {fontSize: '13px', background: 'white'},
    marks: [
      Plot.areaY(bars, {
        fx: 'panel',
        x: 'made',
        y: 'megabytes',
        fill: 'category',
        order: [...categories],
      }),
      Plot.ruleX(forwardEnds, {fx: 'panel', x: 'made', stroke: 'black', strokeDasharray: '3,3'}),
      Plot.text(forwardEnds, {
        ...besideTheLine,
        text: () => 'forward',
        textAnchor: 'end',
        dx: -5,
      }),
      Plot.text(forwardEnds, {
        ...besideTheLine,
        text: () => 'backward and update',
        textAnchor: 'start',
        dx: 5,
      }),
      Plot.text(peaks, {
        fx: 'panel',
        x: 'made',
        y: 'megabytes',
        text: ({megabytes}: {megabytes: number}) => `${megabytes.toFixed(0)} MB`,
        dy: -9,
        fontWeight: 'bold',
        stroke: 'white',
        strokeWidth: 5,
        fill: 'black',
      }),
      Plot.ruleY([0]),
    ],
  }) as SVGElement;
}

function legend(document: Document): SVGElement {
  const entries = categories.map((category, i) => ({category, x: i}));
  return Plot.plot({
    document,
    width: WIDTH,
    height: 40,
    margin: 0,
    axis: null,
    x: {domain: [-0.3, categories.length]},
    y: {domain: [-1, 1]},
    color: {domain: [...categories], range: categories.map((category) => colors[category])},
    style: {fontSize: '13px', background: 'white'},
    marks: [
      Plot.dot(entries, {x: 'x', y: 0, r: 7, symbol: 'square', fill: 'category'}),
      Plot.text(entries, {x: 'x', y: 0, text: 'category', textAnchor: 'start', dx: 14}),
    ],
  }) as SVGElement;
}
