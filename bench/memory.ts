/**
 * Peak tensor memory and time of a training step against stock tfjs:
 *
 *   npm run bench:memory                          # the tensorflow backend if it is there, else wasm
 *   npm run bench:memory -- --backend wasm
 *
 * Stock is the same model as tfjs users write it, trained with `tf.train.adam`. All variants of a trained set take turns,
 * a step each, so that a busy machine is equally busy for all. Peaks are the same in every run; times are not. Three more
 * tables are by the backend that computes shapes only (`shape_backend.ts`): the same on wasm, this library's optimizer on
 * stock's model, and what its options cost. Exits with 1 if a loss differs from stock's.
 *
 * With `--write` the figures go to `docs/memory.md` and `bench/results/memory.json`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {selectBackend} from '../demo/backend';
import {startMemoryMeter} from '../src/memory/meter';
import {loadBackend, type BackendName} from '../scripts/load_backend';
import {writeRecord} from './record';
import {megabytes, Report, verdict} from './report';
import {registerShapeBackend} from './shape_backend';
import {median} from './statistics';
import {measureAlone, Turns} from './turns';
import {
  adamOptions,
  owloreOptions,
  referenceShape,
  trainedSets,
  variantTitles,
  type TrainedSetName,
  type TrainingOptions,
  type Variant,
} from './workload';

const {values} = parseArgs({
  options: {
    backend: {type: 'string'},
    steps: {type: 'string', default: '20'},
    write: {type: 'boolean', default: false},
  },
});
const steps = Number(values.steps);
const backend = (values.backend ??
  ((await loadBackend('tensorflow')) ? 'tensorflow' : 'wasm')) as BackendName;
await selectBackend(backend);
const meter = startMemoryMeter();
const report = new Report('memory.md');

/** The largest relative difference that a loss may have from stock's. */
const LOSS_TOLERANCE = 1e-5;

/** Most times that a step may take of stock's, of the same trained set. */
const timeGoals = {none: 1.0, auto: 1.35};

const variants = ['stock', 'none', 'auto'] as const satisfies Variant[];

interface Row {
  title: string;
  set: TrainedSetName;
  /** Most memory that a step may take of that of stock full fine-tuning. */
  peakGoals: {none: number; auto: number};
}

const rows: Row[] = [
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

/** What one variant of a trained set came to. */
interface Figures {
  peak: number;
  /** Bytes between two steps. */
  atRest: number;
  /** Medians over the steps but the first, which starts everything; `time` is a part of stock's of the same round. */
  time: number;
  milliseconds: number;
  lossDifference: number;
}

async function measureRow({set}: Row): Promise<Record<Variant, Figures>> {
  const turns = variants.map(
    (variant) => new Turns({shape: referenceShape, trained: trainedSets[set], variant}, meter),
  );
  for (let step = 0; step < steps; step++) for (const turn of turns) await turn.step();
  const [stock, none, auto] = turns.map((turn) => figuresOf(turn, turns[0]!));
  for (const turn of turns) turn.dispose();
  return {stock: stock!, none: none!, auto: auto!};
}

async function measureOwLore(): Promise<Figures> {
  const {owlore: trained} = trainedSets;
  const options = {shape: referenceShape, trained, optimizer: owloreOptions};
  const turns = new Turns({...options, variant: 'auto'}, meter);
  for (let step = 0; step < steps; step++) await turns.step();
  turns.dispose();
  return figuresOf(turns, turns);
}

function figuresOf(turns: Turns, stock: Turns): Figures {
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

const results: Array<Row & {figures: Record<Variant, Figures>}> = [];
for (const row of rows) results.push({...row, figures: await measureRow(row)});
const owlore = await measureOwLore();
const stockFull = results[0]!.figures.stock.peak;
const lisa = results.find(({set}) => set === 'lisa')!.figures.auto.peak;

report.table(
  'peaks',
  `Backend ${backend}, ${steps} steps: peak of tensor memory in MB and as a part of that of stock full fine-tuning; ` +
    'median time of a step and as a part of that of stock with the same trained set',
  ['trained', '', 'peak', 'part', 'goal', 'between steps', 'time', 'part', 'goal'],
  [
    ...results.flatMap(({title, peakGoals, figures}) =>
      variants.map((variant) => {
        const {peak, atRest, milliseconds, time} = figures[variant];
        const part = peak / stockFull;
        const isStock = variant === 'stock';
        return [
          isStock ? title : '',
          variantTitles[variant],
          megabytes(peak),
          part.toFixed(3),
          isStock ? '' : verdict(part, {atMost: peakGoals[variant]}),
          megabytes(atRest),
          `${milliseconds.toFixed(0)} ms`,
          time.toFixed(2),
          isStock ? '' : verdict(time, {atMost: timeGoals[variant]}),
        ];
      }),
    ),
    [
      'OwLore: 4 of 8 blocks at rank 64, embedding, head',
      variantTitles.auto,
      megabytes(owlore.peak),
      (owlore.peak / stockFull).toFixed(3),
      verdict(owlore.peak / stockFull, {atMost: Number((lisa / stockFull).toFixed(3))}),
      megabytes(owlore.atRest),
      `${owlore.milliseconds.toFixed(0)} ms`,
      '',
      '',
    ],
  ],
);

report.table(
  'losses',
  `Largest relative difference of a loss from stock's in ${steps} steps; at most ${LOSS_TOLERANCE} is allowed`,
  ['trained', variantTitles.none, variantTitles.auto],
  results.map(({title, figures: {none, auto}}) => [
    title,
    ...[none, auto].map(({lossDifference}) => lossDifference.toExponential(1)),
  ]),
);
const lossDifference = Math.max(
  ...results.flatMap(({figures: {none, auto}}) => [none.lossDifference, auto.lossDifference]),
);

/** Peak of a training by the shape-only backend that is selected. */
async function peakOf(options: Omit<TrainingOptions, 'shape'>): Promise<number> {
  return (await measureAlone({shape: referenceShape, ...options}, meter)).peak;
}

await tf.setBackend(await registerShapeBackend('wasm'));
const onWasm: Array<Row & {peaks: Record<Variant, number>}> = [];
for (const row of rows) {
  const trained = trainedSets[row.set];
  const peaks = {
    stock: await peakOf({trained, variant: 'stock'}),
    none: await peakOf({trained, variant: 'none'}),
    auto: await peakOf({trained, variant: 'auto'}),
  };
  onWasm.push({...row, peaks});
}
const stockFullOnWasm = onWasm[0]!.peaks.stock;
report.table(
  'wasm',
  "Peaks on the wasm backend with tfjs's own kernels, by the shape-only backend",
  ['trained', '', 'peak', 'part', 'goal'],
  onWasm.flatMap(({title, peakGoals, peaks}) =>
    variants.map((variant) => {
      const part = peaks[variant] / stockFullOnWasm;
      return [
        variant === 'stock' ? title : '',
        variantTitles[variant],
        megabytes(peaks[variant]),
        part.toFixed(3),
        variant === 'stock' ? '' : verdict(part, {atMost: peakGoals[variant]}),
      ];
    }),
  ),
);

/** Most memory that a step of full fine-tuning with checkpoints may take of that of stock, where the model is stock's. */
const PLAIN_OPS_GOAL = 0.135;

interface PlainOpsRow extends Row {
  /** By backend. */
  peaks: Record<(typeof plainOpsBackends)[number], Record<Variant, number>>;
}
const plainOpsBackends = ['wasm', 'tensorflow'] as const;

async function measurePlainOps(set: TrainedSetName): Promise<Record<Variant, number>> {
  const options = {
    trained: trainedSets[set],
    plainOps: true,
    optimizer: {...adamOptions, nonFinite: 'throw'},
  } as const;
  return {
    stock: await peakOf({...options, variant: 'stock'}),
    none: await peakOf({...options, variant: 'none'}),
    auto: await peakOf({...options, variant: 'auto'}),
  };
}

const plainOps: PlainOpsRow[] = [];
for (const row of rows) {
  const peaks = {} as PlainOpsRow['peaks'];
  for (const imitated of plainOpsBackends) {
    await tf.setBackend(await registerShapeBackend(imitated));
    peaks[imitated] = await measurePlainOps(row.set);
  }
  plainOps.push({...row, peaks});
}
report.table(
  'plain ops',
  "Peaks with this library's optimizer and stock's model, by the shape-only backend",
  ['trained', '', ...plainOpsBackends.flatMap((imitated) => [imitated, 'part']), 'goal'],
  plainOps.flatMap(({title, set, peaks}) =>
    variants.map((variant) => {
      const parts = plainOpsBackends.map(
        (imitated) => peaks[imitated][variant] / plainOps[0]!.peaks[imitated].stock,
      );
      const hasGoal = set === 'full' && variant === 'auto';
      return [
        variant === 'stock' ? title : '',
        variantTitles[variant],
        ...plainOpsBackends.flatMap((imitated, i) => [
          megabytes(peaks[imitated][variant]),
          parts[i]!.toFixed(3),
        ]),
        hasGoal ? verdict(Math.max(...parts), {atMost: PLAIN_OPS_GOAL}) : '',
      ];
    }),
  ),
);

/** Options that make gradients wait for each other. */
const waiting = {
  "`nonFinite: 'ignore'`, as above": {},
  "`nonFinite: 'throw'`, the default": {nonFinite: 'throw'},
  "`clipNorm: 1`, `nonFinite: 'ignore'`": {clipNorm: 1},
  "`accumulate: 2`, `nonFinite: 'ignore'`": {accumulate: 2},
} as const;

await tf.setBackend(await registerShapeBackend('tensorflow'));
const optionSets = ['full', 'lisa', 'owlore'] as const;
const byOption: Array<{options: string; peaks: number[]}> = [];
for (const [options, values] of Object.entries(waiting)) {
  const peaks: number[] = [];
  for (const set of optionSets) {
    const optimizer = {...(set === 'owlore' ? owloreOptions : adamOptions), ...values};
    peaks.push(await peakOf({trained: trainedSets[set], variant: 'auto', optimizer}));
  }
  byOption.push({options, peaks});
}
report.table(
  'options',
  'Peaks in MB where gradients wait, with checkpoints, by the shape-only backend',
  ['options', 'all 8 blocks, embedding, head', '2 of 8 blocks, embedding, head', 'OwLore'],
  byOption.map(({options, peaks}) => [options, ...peaks.map(megabytes)]),
);

if (values.write) {
  await report.writeDocs();
  const figures = {results, owlore, onWasm, plainOps, byOption, lossDifference};
  await writeRecord('memory', {backend, steps, tfjs: tf.version_core, ...figures});
}
const isEqual = lossDifference <= LOSS_TOLERANCE;
console.log(
  `\nThe largest relative difference of a loss from stock's is ${lossDifference.toExponential(1)}: ` +
    (isEqual ? 'as it must be' : `more than ${LOSS_TOLERANCE}`),
);
if (!isEqual) process.exitCode = 1;
