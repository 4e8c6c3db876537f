/**
 * Peak tensor memory and time of a training step against stock tfjs:
 *
 *   npm run bench:memory                          # the tensorflow backend if it is there, else wasm
 *   npm run bench:memory -- --backend wasm
 *
 * Stock is the same model as tfjs users write it, trained with `tf.train.adam`. All variants of a trained set take turns,
 * a step each, so that a busy machine is equally busy for all. Peaks are the same in every run; times are not. Two more
 * tables are by the backend that computes shapes only (`shape_backend.ts`): the same on wasm, and what the optimizer's
 * options cost. Exits with 1 if a loss differs from stock's.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../demo/memory_meter';
import {selectBackend} from '../demo/backend';
import {loadBackend, type BackendName} from '../scripts/load_backend';
import {writeRecord} from './record';
import {registerShapeBackend} from './shape_backend';
import {measureAlone, Turns} from './turns';
import {
  adamOptions,
  owloreOptions,
  referenceShape,
  trainedSets,
  type TrainingOptions,
  type Variant,
} from './workload';

const {values} = parseArgs({options: {backend: {type: 'string'}, steps: {type: 'string'}}});
const steps = Number(values.steps ?? 20);
const backend = (values.backend ??
  ((await loadBackend('tensorflow')) ? 'tensorflow' : 'wasm')) as BackendName;
await selectBackend(backend);
const meter = startMemoryMeter();

/** The largest relative difference that a loss may have from stock's. */
const LOSS_TOLERANCE = 1e-5;

/** Most times that a step may take of stock's, of the same trained set. */
const timeTargets = {none: 1.0, auto: 1.35};

const variants = ['stock', 'none', 'auto'] as const satisfies Variant[];

/** Most memory that a step may take of that of stock full fine-tuning. */
interface Row {
  title: string;
  set: keyof typeof trainedSets;
  peakTargets: {none: number; auto: number};
}

const rows: Row[] = [
  {
    title: 'all 8 blocks, embedding, head',
    set: 'full',
    peakTargets: {none: 0.2, auto: 0.085},
  },
  {
    title: '2 of 8 blocks, embedding, head',
    set: 'lisa',
    peakTargets: {none: 0.15, auto: 0.06},
  },
  {
    title: '2 of 8 blocks, head',
    set: 'frozenEmbedding',
    peakTargets: {none: 0.12, auto: 0.055},
  },
  {
    title: 'block 7, head',
    set: 'lastBlock',
    peakTargets: {none: 0.075, auto: 0.05},
  },
];

/** What one variant of a trained set came to. */
interface Figures {
  peak: number;
  atRest: number;
  /** Median over the rounds of its time by stock's of the same round; the first round, with the start of everything, is out. */
  time: number;
  milliseconds: number;
  lossDifference: number;
}

async function measureRow({set}: Row): Promise<Record<Variant, Figures>> {
  const turns = variants.map(
    (variant) => new Turns({shape: referenceShape, trained: trainedSets[set], variant}, meter),
  );
  for (let step = 0; step < steps; step++) for (const turn of turns) await turn.step();
  const [stock] = turns;
  const figures = turns.map((turn) => figuresOf(turn, stock!));
  for (const turn of turns) turn.dispose();
  return Object.fromEntries(variants.map((variant, i) => [variant, figures[i]])) as Record<
    Variant,
    Figures
  >;
}

async function measureOwLore(): Promise<Figures> {
  const turn = new Turns(
    {
      shape: referenceShape,
      trained: trainedSets.owlore,
      variant: 'auto',
      optimizer: owloreOptions,
    },
    meter,
  );
  for (let step = 0; step < steps; step++) await turn.step();
  turn.dispose();
  return figuresOf(turn, turn);
}

function figuresOf(turn: Turns, stock: Turns): Figures {
  const ratios = turn.milliseconds.map((time, i) => time / stock.milliseconds[i]!);
  const differences = turn.losses.map((loss, i) => Math.abs(loss / stock.losses[i]! - 1));
  return {
    peak: turn.peak,
    atRest: turn.atRest,
    time: median(ratios.slice(1)),
    milliseconds: median(turn.milliseconds.slice(1)),
    lossDifference: Math.max(...differences),
  };
}

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
const compared = (value: number, target: number, digits: number): string =>
  `${value.toFixed(digits)} (${value <= target ? 'meets' : 'misses'} ${target})`;

console.log(
  `Backend ${backend}, ${steps} steps. Peak of tensor memory in MB; as a part of that of stock full fine-tuning; ` +
    'time of a step as a part of that of stock with the same trained set.\n',
);
const header = ['trained', 'variant', 'peak', 'part', 'time', 'ms', 'weights + state', 'loss'];
const line = (cells: readonly string[]): void => console.log(`| ${cells.join(' | ')} |`);
line(header);
line(header.map(() => '---'));

const results: Record<string, Record<string, Figures>> = {};
let full = 0;
for (const row of rows) {
  const figures = await measureRow(row);
  results[row.set] = figures;
  full ||= figures.stock.peak;
  for (const variant of variants) {
    const {peak, time, milliseconds, atRest, lossDifference} = figures[variant];
    const isStock = variant === 'stock';
    line([
      isStock ? row.title : '',
      {stock: 'stock', none: 'no checkpoints', auto: 'checkpoints'}[variant],
      megabytes(peak),
      isStock ? (peak / full).toFixed(3) : compared(peak / full, row.peakTargets[variant], 3),
      isStock ? '1' : compared(time, timeTargets[variant], 2),
      milliseconds.toFixed(0),
      megabytes(atRest),
      isStock ? '' : lossDifference.toExponential(1),
    ]);
  }
}
const owlore = await measureOwLore();
const lisa = results['lisa']!['auto']!.peak;
results['owlore'] = {auto: owlore};
line([
  'OwLore: 4 of 8 blocks at rank 64, embedding, head',
  'checkpoints',
  megabytes(owlore.peak),
  compared(owlore.peak / full, Number((lisa / full).toFixed(3)), 3),
  '',
  owlore.milliseconds.toFixed(0),
  megabytes(owlore.atRest),
  '',
]);

const lossDifference = Math.max(
  ...rows.flatMap(({set}) => Object.values(results[set]!).map((figures) => figures.lossDifference)),
);
console.log(
  `\nLargest relative difference of a loss from stock's: ${lossDifference.toExponential(1)} ` +
    `(at most ${LOSS_TOLERANCE} is allowed)`,
);

/** Peak of a training by the shape-only backend, which is the one that is selected. */
async function peakOf(options: Omit<TrainingOptions, 'shape'>): Promise<number> {
  return (await measureAlone({shape: referenceShape, ...options}, meter)).peak;
}

console.log(
  "\nPeaks on the wasm backend with tfjs's own kernels, whose Identity copies what the tape saves (by the shape-only " +
    'backend)\n',
);
await tf.setBackend(await registerShapeBackend('wasm'));
const onWasm: Record<string, Record<Variant, number>> = {};
line(['trained', 'stock', 'no checkpoints', 'checkpoints']);
line(['---', '---', '---', '---']);
for (const {title, set, peakTargets} of rows) {
  const trained = trainedSets[set];
  const [stock, none, auto] = [
    await peakOf({trained, variant: 'stock'}),
    await peakOf({trained, variant: 'none'}),
    await peakOf({trained, variant: 'auto'}),
  ];
  onWasm[set] = {stock, none, auto};
  const stockFull = onWasm['full']!.stock;
  line([
    title,
    `${megabytes(stock)}: ${(stock / stockFull).toFixed(3)}`,
    `${megabytes(none)}: ${compared(none / stockFull, peakTargets.none, 3)}`,
    `${megabytes(auto)}: ${compared(auto / stockFull, peakTargets.auto, 3)}`,
  ]);
}

/** What makes gradients wait for each other, and what that costs. */
const waiting = {
  "nonFinite: 'ignore'": {},
  "nonFinite: 'throw' (the default)": {nonFinite: 'throw'},
  'clipNorm: 1': {clipNorm: 1},
  'accumulate: 2': {accumulate: 2},
} as const;

console.log(
  '\nOptions that make gradients wait: peaks with checkpoints, MB (by the shape-only backend)\n',
);
await tf.setBackend(await registerShapeBackend('tensorflow'));
const byOption: Record<string, Record<string, number>> = {};
const optionSets = ['full', 'lisa', 'owlore'] as const;
line(['option', 'full fine-tuning', '2 of 8 blocks, embedding, head', 'OwLore']);
line(['---', '---', '---', '---']);
for (const [title, options] of Object.entries(waiting)) {
  byOption[title] = {};
  for (const set of optionSets) {
    const base = set === 'owlore' ? owloreOptions : adamOptions;
    const optimizer = {...base, ...options};
    byOption[title][set] = await peakOf({trained: trainedSets[set], variant: 'auto', optimizer});
  }
  line([title, ...optionSets.map((set) => megabytes(byOption[title]![set]!))]);
}

writeRecord('memory', {
  backend,
  steps,
  tfjs: tf.version_core,
  results,
  lossDifference,
  onWasm,
  byOption,
});
if (!(lossDifference <= LOSS_TOLERANCE)) process.exitCode = 1;
