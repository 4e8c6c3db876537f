/**
 * What the optimizer's defaults cost and gain on ordinary small models: the loss that is reached beside `tf.train.adam` at the same
 * rate, and what other sides of the projection and the other scale would do.
 *
 *   npm run bench:defaults                       # the tensorflow backend if it is there, else wasm
 *   npm run bench:defaults -- --only digits      # models with that in their titles
 *   npm run bench:defaults -- --seeds 1,2,3 --rank 90
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
import {Projections, stateSize} from '../src/optim/projector';
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
    rank: {type: 'string', default: String(owloreDefaults.rank)},
    write: {type: 'boolean', default: false},
  },
});
const backend = (flags.backend ??
  ((await loadBackend('tensorflow')) ? 'tensorflow' : 'wasm')) as BackendName;
await selectBackend(backend);
const seeds = flags.seeds.split(',').map(Number);
const rank = Number(flags.rank);

/** The least part of what Adam learns that the defaults have to learn, on average over the seeds. */
const MARGIN = 0.97;

const EPSILON = owloreDefaults.epsilon;

const SIDES = ['paper', 'left', 'auto'] as const;
const SCALES = [1, 'auto'] as const;

interface Variant {
  side: (typeof SIDES)[number];
  scale: (typeof SCALES)[number];
}

const variants: Variant[] = SCALES.flatMap((scale) => SIDES.map((side) => ({side, scale})));
const nameOf = ({side, scale}: Pick<OwLoreOptions, 'side' | 'scale'>): string =>
  `${side}, ${scale}`;
const defaults = nameOf(owloreDefaults);

/** Of one model, by the names of the variants. */
interface Row {
  title: string;
  seeds: number[];
  /** Matrices that are projected, of all. */
  projected: [number, number];
  /** Numbers of the state of all matrices, as parts of Adam's. */
  state: Record<Variant['side'], number>;
  adam: Trained[];
  runs: Record<string, Trained[]>;
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
  ['model', 'projected', "state, of Adam's", 'loss, Adam', 'loss, defaults', 'learned'],
  rows.map(summary),
);
report.table(
  'losses',
  'Held-out loss, mean of the seeds',
  ['model', 'Adam', ...variants.map(({side, scale}) => `\`${side}\`, scale ${scale}`)],
  rows
    .filter(({projected}) => projected[0] > 0)
    .map(({title, adam, runs}) => [
      title,
      ...[adam, ...variants.map((variant) => runs[nameOf(variant)]!)].map(finalLoss),
    ]),
);
report.table(
  'state',
  "State of the matrices, in parts of Adam's",
  ['model', ...SIDES.map((side) => `\`${side}\``)],
  rows
    .filter(({projected}) => projected[0] > 0)
    .map(({title, state}) => [title, ...SIDES.map((side) => state[side].toFixed(2))]),
);
if (flags.write) await report.writeDocs();
const missed = rows.filter((row) => mean(learned(row)) < MARGIN);
for (const {title} of missed) console.log(`below the margin of ${MARGIN}: ${title}`);
if (missed.length > 0) process.exitCode = 1;

async function measure(ordinary: OrdinaryModel): Promise<Row> {
  const model = ordinary.build();
  const {projected, state} = plan(model);
  model.dispose();
  const {learningRate} = ordinary;
  // Without projection all of them are the same, and one is enough.
  const measured =
    projected[0] > 0 ? variants : variants.filter((variant) => nameOf(variant) === defaults);
  const adam: Trained[] = [];
  const runs: Row['runs'] = Object.fromEntries(measured.map((variant) => [nameOf(variant), []]));
  for (const seed of seeds) {
    const task = new Task(ordinary, seed);
    const train = async (optimizer: tf.Optimizer): Promise<Trained> => {
      const trained = await task.train(optimizer);
      optimizer.dispose();
      return trained;
    };
    adam.push(await train(tf.train.adam(learningRate, 0.9, 0.999, EPSILON)));
    for (const variant of measured) {
      runs[nameOf(variant)]!.push(
        await train(new OwLoreOptimizer({learningRate, rank, ...variant})),
      );
    }
    task.dispose();
  }
  return {title: ordinary.title, seeds, projected, state, adam, runs};
}

/** What is projected of a model, and the numbers that are kept of its matrices. */
function plan({trainableWeights}: tfl.LayersModel): Pick<Row, 'projected' | 'state'> {
  const matrices = trainableWeights
    .map(({name, shape}) => ({name, shape: shape as number[]}))
    .filter(({shape}) => shape.length > 1);
  const full = matrices.reduce((sum, {shape}) => sum + 2 * tf.util.sizeFromShape(shape), 0);
  const partOf = (side: Variant['side']): number => {
    const projections = new Projections({project: 'auto', rank, side});
    return matrices.reduce((sum, matrix) => sum + numbersOf(matrix, projections), 0) / full;
  };
  const projections = new Projections({project: 'auto', rank, side: owloreDefaults.side});
  const projected = matrices.filter((matrix) => projections.of(matrix)).length;
  return {
    projected: [projected, matrices.length],
    state: {paper: partOf('paper'), left: partOf('left'), auto: partOf('auto')},
  };
}

function numbersOf(matrix: {name: string; shape: number[]}, projections: Projections): number {
  const projection = projections.of(matrix);
  return projection ? stateSize(projection) : 2 * tf.util.sizeFromShape(matrix.shape);
}

/** The runs with the defaults. */
function ours({runs}: Row): Trained[] {
  return runs[defaults] ?? Object.values(runs)[0]!;
}

/** For each seed how far the held-out loss fell with the defaults, as a part of how far Adam's did. */
function learned(row: Row): number[] {
  return ours(row).map(({before, heldOut}, i) => {
    const theirs = row.adam[i]!;
    return (before - heldOut) / (theirs.before - theirs.heldOut);
  });
}

function finalLoss(trained: readonly Trained[]): string {
  return mean(trained.map(({heldOut}) => heldOut)).toPrecision(3);
}

function summary(row: Row): string[] {
  const {title, projected, state, adam} = row;
  const parts = learned(row).map((value) => 100 * value);
  const [least, most] = [Math.min(...parts), Math.max(...parts)];
  const first = mean(adam.map(({before}) => before));
  return [
    title,
    projected.join(' of '),
    (state as Record<string, number>)[owloreDefaults.side]!.toFixed(2),
    `${first.toPrecision(3)} → ${finalLoss(adam)}`,
    finalLoss(ours(row)),
    `${mean(parts).toFixed(1)} % (${least.toFixed(1)} to ${most.toFixed(1)})`,
  ];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
