/**
 * Peak tensor memory and time of a training step against stock tfjs.
 *
 *   npm run bench -- memory                          # the tensorflow backend if it is there, else wasm
 *   npm run bench -- memory --backend wasm
 *
 * Stock is the same model as tfjs users write it, trained with `tf.train.adam`. All variants of a trained set take turns,
 * a step each, so that a busy machine is equally busy for all. Peaks are the same in every run; times are not. Three more
 * tables are by a backend that knows shapes alone: the same on wasm, this library's optimizer on
 * stock's model, and what its options cost. Exits with 1 if a loss differs from stock's.
 *
 * With `--write` the figures go to `docs/measurements.md` and `bench/results/memory.json`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type {DescribedBackend} from '../../src/kernels/kernel_outputs';
import {startMemoryMeter} from '../../src/memory/meter';
import {selectBackend} from '../../tools/select_backend';
import {onShapes} from '../harness/shapes';
import {median} from '../harness/statistics';
import {measureAlone, Turns} from '../harness/turns';
import {
  adamOptions,
  owloreOptions,
  referenceShape,
  trainedSets,
  type TrainingOptions,
  type Variant,
} from '../harness/workload';
import {provenance, WHOLE, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {
  LOSS_TOLERANCE,
  memoryTables,
  memoryVariants,
  type MemoryMeasurements,
  type MemoryRow,
  type Peaks,
  type StepFigures,
} from '../tables/memory_tables';

const {values} = parseArgs({
  options: {
    backend: {type: 'string'},
    steps: {type: 'string', default: '20'},
    write: {type: 'boolean', default: false},
  },
});
const steps = Number(values.steps);
const before = provenance();
const backend = await selectBackend(values.backend);
const meter = startMemoryMeter();

const rows: MemoryRow[] = [
  {
    title: 'all 8 blocks, embedding, head',
    set: 'full',
    peakGoals: {none: 0.2, auto: 0.085},
  },
  {
    title: '2 of 8 blocks, embedding, head',
    set: 'lisa',
    peakGoals: {none: 0.15, auto: 0.06},
  },
  {
    title: '2 of 8 blocks, head',
    set: 'frozenEmbedding',
    peakGoals: {none: 0.12, auto: 0.055},
  },
  {
    title: 'block 7, head',
    set: 'lastBlock',
    peakGoals: {none: 0.075, auto: 0.05},
  },
];

async function measureRow({set}: MemoryRow): Promise<Record<Variant, StepFigures>> {
  const turns = memoryVariants.map(
    (variant) => new Turns({shape: referenceShape, trained: trainedSets[set], variant}, meter),
  );
  for (let step = 0; step < steps; step++) for (const turn of turns) await turn.step();
  const [stock, none, auto] = turns.map((turn) => figuresOf(turn, turns[0]!));
  for (const turn of turns) turn.dispose();
  return {stock: stock!, none: none!, auto: auto!};
}

async function measureOwLore(): Promise<StepFigures> {
  const {owlore: trained} = trainedSets;
  const options = {shape: referenceShape, trained, optimizer: owloreOptions(referenceShape)};
  const turns = new Turns({...options, variant: 'auto'}, meter);
  for (let step = 0; step < steps; step++) await turns.step();
  turns.dispose();
  return figuresOf(turns, turns);
}

function figuresOf(turns: Turns, stock: Turns): StepFigures {
  const ratios = turns.milliseconds.map((time, i) => time / stock.milliseconds[i]!);
  const differences = turns.losses.map((loss, i) => Math.abs(loss / stock.losses[i]! - 1));
  return {
    peak: turns.peak,
    atRest: turns.atRest,
    time: median(ratios.slice(1)),
    milliseconds: median(turns.milliseconds.slice(1)),
    lossDifference: Math.max(...differences),
  };
}

/** The peak of a training on shapes alone. */
function peakOf(on: DescribedBackend, options: Omit<TrainingOptions, 'shape'>): number {
  return onShapes(on, () => measureAlone({shape: referenceShape, ...options}).peak);
}

/** The peak of each variant of a training. */
function peaksOf(on: DescribedBackend, options: Omit<TrainingOptions, 'shape' | 'variant'>): Peaks {
  return {
    stock: peakOf(on, {...options, variant: 'stock'}),
    none: peakOf(on, {...options, variant: 'none'}),
    auto: peakOf(on, {...options, variant: 'auto'}),
  };
}

function measureOnWasm(): MemoryMeasurements['onWasm'] {
  return rows.map((row) => ({...row, peaks: peaksOf('wasm', {trained: trainedSets[row.set]})}));
}

/** With this library's optimizer on stock's model. */
function measurePlainOps(): MemoryMeasurements['plainOps'] {
  const optimizer = {...adamOptions, nonFinite: 'throw'} as const;
  return rows.map((row) => {
    const options = {trained: trainedSets[row.set], plainOps: true, optimizer};
    const peaks = {wasm: peaksOf('wasm', options), tensorflow: peaksOf('tensorflow', options)};
    return {...row, peaks};
  });
}

/** Options with which no gradient can be used before all are there. */
const waiting = {
  "`nonFinite: 'ignore'`, as in the tables": {},
  "`nonFinite: 'throw'`, the default": {nonFinite: 'throw'},
  "`clipNorm: 1`, `nonFinite: 'ignore'`": {clipNorm: 1},
  "`accumulate: 2`, `nonFinite: 'ignore'`": {accumulate: 2},
} as const;

function measureByOption(): MemoryMeasurements['byOption'] {
  return Object.entries(waiting).map(([options, values]) => ({
    options,
    peaks: (['full', 'lisa', 'owlore'] as const).map((set) => {
      const usual = set === 'owlore' ? owloreOptions(referenceShape) : adamOptions;
      const optimizer = {...usual, ...values};
      return peakOf('tensorflow', {trained: trainedSets[set], variant: 'auto', optimizer});
    }),
  }));
}

const results: MemoryMeasurements['results'] = [];
for (const row of rows) results.push({...row, figures: await measureRow(row)});
const measured: MemoryMeasurements = {
  ...{backend, tfjs: tf.version_core, steps, results},
  owlore: await measureOwLore(),
  onWasm: measureOnWasm(),
  plainOps: measurePlainOps(),
  byOption: measureByOption(),
};
const record = {...before, measured};
printTables(memoryTables({[WHOLE]: record}));
if (values.write) {
  await writeRecord('memory', WHOLE, record);
}
const lossDifference = Math.max(
  ...results.flatMap(({figures: {none, auto}}) => [none.lossDifference, auto.lossDifference]),
);
const isEqual = lossDifference <= LOSS_TOLERANCE;
console.log(
  `\nThe largest relative difference of a loss from stock's is ${lossDifference.toExponential(1)}: ` +
    (isEqual ? 'as it must be' : `more than ${LOSS_TOLERANCE}`),
);
if (!isEqual) process.exitCode = 1;
