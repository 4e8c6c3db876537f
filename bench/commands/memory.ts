/**
 * Peak tensor memory and time of a training step against stock tfjs.
 *
 *   npm run bench -- memory                          # the tensorflow backend if it is there, else wasm
 *   npm run bench -- memory --backend wasm
 *
 * Stock is the same model as tfjs users write it, trained with `tf.train.adam`. All variants of a trained set take turns,
 * a step each, so that a busy machine is equally busy for all. Peaks are the same in every run; times are not. Three more
 * tables are by the backend that computes shapes only (`shape_backend.ts`): the same on wasm, this library's optimizer on
 * stock's model, and what its options cost. Exits with 1 if a loss differs from stock's.
 *
 * With `--write` the figures go to `docs/measurements.md` and `bench/results/memory.json`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../src/memory/meter';
import {selectBackend} from '../../tools/select_backend';
import {registerShapeBackend} from '../harness/shape_backend';
import {median} from '../harness/statistics';
import {measureAlone, Turns} from '../harness/turns';
import {
  adamOptions,
  owloreOptions,
  referenceShape,
  trainedSets,
  type TrainedSetName,
  type TrainingOptions,
  type Variant,
} from '../harness/workload';
import {provenance, WHOLE, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {
  LOSS_TOLERANCE,
  memoryTables,
  memoryVariants,
  plainOpsBackends,
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

/** Peak of a training by the shape-only backend that is selected. */
async function peakOf(options: Omit<TrainingOptions, 'shape'>): Promise<number> {
  return (await measureAlone({shape: referenceShape, ...options}, meter)).peak;
}

/** The peak of each variant of a training. */
async function peaksOf(options: Omit<TrainingOptions, 'shape' | 'variant'>): Promise<Peaks> {
  return {
    stock: await peakOf({...options, variant: 'stock'}),
    none: await peakOf({...options, variant: 'none'}),
    auto: await peakOf({...options, variant: 'auto'}),
  };
}

async function measureOnWasm(): Promise<MemoryMeasurements['onWasm']> {
  await tf.setBackend(await registerShapeBackend('wasm'));
  const onWasm: MemoryMeasurements['onWasm'] = [];
  for (const row of rows) {
    onWasm.push({...row, peaks: await peaksOf({trained: trainedSets[row.set]})});
  }
  return onWasm;
}

/** With this library's optimizer on stock's model. */
function plainOpsPeaks(set: TrainedSetName): Promise<Peaks> {
  const optimizer = {...adamOptions, nonFinite: 'throw'} as const;
  return peaksOf({trained: trainedSets[set], plainOps: true, optimizer});
}

async function measurePlainOps(): Promise<MemoryMeasurements['plainOps']> {
  const plainOps: MemoryMeasurements['plainOps'] = [];
  for (const row of rows) {
    const peaks = {} as (typeof plainOps)[number]['peaks'];
    for (const imitated of plainOpsBackends) {
      await tf.setBackend(await registerShapeBackend(imitated));
      peaks[imitated] = await plainOpsPeaks(row.set);
    }
    plainOps.push({...row, peaks});
  }
  return plainOps;
}

/** Options with which no gradient can be used before all are there. */
const waiting = {
  "`nonFinite: 'ignore'`, as in the tables": {},
  "`nonFinite: 'throw'`, the default": {nonFinite: 'throw'},
  "`clipNorm: 1`, `nonFinite: 'ignore'`": {clipNorm: 1},
  "`accumulate: 2`, `nonFinite: 'ignore'`": {accumulate: 2},
} as const;

async function measureByOption(): Promise<MemoryMeasurements['byOption']> {
  await tf.setBackend(await registerShapeBackend('tensorflow'));
  const byOption: MemoryMeasurements['byOption'] = [];
  for (const [options, values] of Object.entries(waiting)) {
    const peaks: number[] = [];
    for (const set of ['full', 'lisa', 'owlore'] as const) {
      const optimizer = {
        ...(set === 'owlore' ? owloreOptions(referenceShape) : adamOptions),
        ...values,
      };
      peaks.push(await peakOf({trained: trainedSets[set], variant: 'auto', optimizer}));
    }
    byOption.push({options, peaks});
  }
  return byOption;
}

const results: MemoryMeasurements['results'] = [];
for (const row of rows) results.push({...row, figures: await measureRow(row)});
const measured: MemoryMeasurements = {
  ...{backend, tfjs: tf.version_core, steps, results},
  owlore: await measureOwLore(),
  onWasm: await measureOnWasm(),
  plainOps: await measurePlainOps(),
  byOption: await measureByOption(),
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
