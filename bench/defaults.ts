/**
 * What the optimizer's defaults cost and gain on ordinary small models: the loss that is reached beside `tf.train.adam` at the same
 * rate, and what the other side of the projection would do.
 *
 *   npm run bench:defaults                       # the tensorflow backend if it is there, else wasm
 *   npm run bench:defaults -- --only digits      # models with that in their titles
 *   npm run bench:defaults -- --seeds 1,2,3
 *
 * A seed determines a model's first weights, its data and the batches: those of all optimizers are the same. Exits with 1 if the
 * defaults miss the margin.
 *
 * With `--write` the figures go to `docs/defaults.md` and `bench/results/defaults.json`.
 */
import {existsSync, readFileSync} from 'node:fs';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {selectBackend} from '../demo/backend';
import {loadBackend, type BackendName} from '../scripts/load_backend';
import {OwLoreOptimizer, type OwLoreOptions} from '../src/index';
import {Projections} from '../src/optim/projections';
import {stateSize} from '../src/optim/projector';
import {owloreDefaults} from '../src/owlore_options';
import {
  ordinaryModels,
  Task,
  type OrdinaryModel,
  type Trained,
} from '../test/support/ordinary_models';
import {writeRecord} from './record';
import {Report} from './report';

const {values: flags} = parseArgs({
  options: {
    backend: {type: 'string'},
    only: {type: 'string', default: ''},
    seeds: {type: 'string', default: '1,2,3'},
    write: {type: 'boolean', default: false},
  },
});
const backend = (flags.backend ??
  ((await loadBackend('tensorflow')) ? 'tensorflow' : 'wasm')) as BackendName;
await selectBackend(backend);
const seeds = flags.seeds.split(',').map(Number);

/** The least part of what Adam learns that the defaults have to learn, on average over the seeds. */
const MARGIN = 0.95;

const EPSILON = owloreDefaults.epsilon;

type Variant = 'adam' | 'defaults' | 'auto' | 'sameBytes' | 'reset' | 'scaled';

/** Of one model, by the names of the variants. */
interface Row {
  title: string;
  seeds: number[];
  /** Matrices that are projected, of all. */
  projected: [number, number];
  /** Rank at which the paper's side takes the bytes of the other one at the default rank. */
  rank: number;
  /** Numbers of the state of all matrices, as parts of Adam's. */
  state: Record<'defaults' | 'auto' | 'sameBytes', number>;
  runs: Record<Variant, Trained[]>;
}

const file = new URL('results/defaults.json', import.meta.url);
const rows: Row[] = existsSync(file)
  ? (JSON.parse(readFileSync(file, 'utf8')) as {rows: Row[]}).rows
  : [];

for (const ordinary of ordinaryModels.filter(({title}) => title.includes(flags.only))) {
  const row = await measure(ordinary);
  console.log(summary(row).join('  |  '));
  const at = rows.findIndex(({title}) => title === row.title);
  if (at < 0) rows.push(row);
  else rows[at] = row;
  if (flags.write) await writeRecord('defaults', {backend, tfjs: tf.version_core, rows});
}
const order = ordinaryModels.map(({title}) => title);
rows.sort((a, b) => order.indexOf(a.title) - order.indexOf(b.title));

const report = new Report('defaults.md');
report.table(
  'defaults',
  'What is learned, in per cent of what tf.train.adam learns: mean of the seeds (least to most)',
  [
    'model',
    'projected',
    'loss, Adam',
    'defaults',
    "`side: 'auto'`",
    "the paper's side at the bytes of `'auto'`",
    "state, of Adam's: defaults, `'auto'`",
  ],
  rows.map(summary),
);
report.table(
  'losses',
  'Held-out loss, mean of the seeds',
  ['model', 'Adam', 'defaults', "`side: 'auto'`", "`moments: 'reset'`", '`scale: 2`'],
  rows
    .filter(({projected}) => projected[0] > 0)
    .map((row) => [
      row.title,
      ...(['adam', 'defaults', 'auto', 'reset', 'scaled'] as const).map((variant) =>
        mean(row.runs[variant].map(({heldOut}) => heldOut)).toPrecision(3),
      ),
    ]),
);
if (flags.write) await report.writeDocs();
const missed = rows.filter((row) => mean(learned(row, 'defaults')) < MARGIN);
for (const {title} of missed) console.log(`below the margin of ${MARGIN}: ${title}`);
if (missed.length > 0) process.exitCode = 1;

async function measure(ordinary: OrdinaryModel): Promise<Row> {
  const model = ordinary.build();
  const {rank, projected, state} = plan(model);
  model.dispose();
  const {learningRate} = ordinary;
  const make: Record<Variant, () => tf.Optimizer> = {
    adam: () => tf.train.adam(learningRate, 0.9, 0.999, EPSILON),
    defaults: () => new OwLoreOptimizer({learningRate}),
    auto: () => new OwLoreOptimizer({learningRate, side: 'auto'}),
    sameBytes: () => new OwLoreOptimizer({learningRate, rank}),
    reset: () => new OwLoreOptimizer({learningRate, moments: 'reset'}),
    scaled: () => new OwLoreOptimizer({learningRate, scale: 2}),
  };
  const runs: Row['runs'] = {
    ...{adam: [], defaults: [], auto: [], sameBytes: [], reset: [], scaled: []},
  };
  for (const seed of seeds) {
    const task = new Task(ordinary, seed);
    for (const variant of Object.keys(make) as Variant[]) {
      // Without projection all of these are the same.
      if (projected[0] === 0 && variant !== 'adam' && variant !== 'defaults') continue;
      const optimizer = make[variant]();
      runs[variant].push(await task.train(optimizer));
      optimizer.dispose();
    }
    task.dispose();
  }
  return {title: ordinary.title, seeds, projected, rank, state, runs};
}

/** What is projected of a model, and the numbers that are kept of its matrices. */
function plan({trainableWeights}: tfl.LayersModel): Pick<Row, 'rank' | 'projected' | 'state'> {
  const matrices = trainableWeights
    .map(({name, shape}) => ({name, shape: shape as number[]}))
    .filter(({shape}) => shape.length > 1);
  const full = matrices.reduce((sum, {shape}) => sum + 2 * tf.util.sizeFromShape(shape), 0);
  const partOf = ({rank, side}: Pick<Required<OwLoreOptions>, 'rank' | 'side'>): number => {
    const projections = new Projections({project: 'auto', rank, side});
    return matrices.reduce((sum, matrix) => sum + numbersOf(matrix, projections), 0) / full;
  };
  const {rank: most, side} = owloreDefaults;
  const auto = partOf({rank: most, side: 'auto'});
  let rank = most;
  while (rank > 1 && partOf({rank, side}) > auto) rank--;
  const projections = new Projections({project: 'auto', rank: most, side});
  const projected = matrices.filter((matrix) => projections.of(matrix)).length;
  return {
    rank,
    projected: [projected, matrices.length],
    state: {defaults: partOf({rank: most, side}), auto, sameBytes: partOf({rank, side})},
  };
}

function numbersOf(matrix: {name: string; shape: number[]}, projections: Projections): number {
  const projection = projections.of(matrix);
  return projection ? stateSize(projection) : 2 * tf.util.sizeFromShape(matrix.shape);
}

/** For each seed how far the held-out loss fell, as a part of how far Adam's did. */
function learned({runs}: Row, variant: Variant): number[] {
  return runs[variant].map(({before, heldOut}, i) => {
    const adam = runs.adam[i]!;
    return (before - heldOut) / (adam.before - adam.heldOut);
  });
}

function summary(row: Row): string[] {
  const {title, projected, state, runs} = row;
  const part = (variant: Variant): string => {
    const parts = learned(row, variant).map((value) => 100 * value);
    if (parts.length === 0) return 'the same';
    const [least, most] = [Math.min(...parts), Math.max(...parts)];
    return `${mean(parts).toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
  };
  const first = mean(runs.adam.map(({before}) => before));
  const last = mean(runs.adam.map(({heldOut}) => heldOut));
  return [
    title,
    projected.join(' of '),
    `${first.toPrecision(3)} → ${last.toPrecision(3)}`,
    ...(['defaults', 'auto', 'sameBytes'] as const).map(part),
    `${state.defaults.toFixed(2)}, ${state.auto.toFixed(2)}`,
  ];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
