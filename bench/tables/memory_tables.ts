/** The tables that `npm run bench -- memory` makes of its results. */
import {variantTitles, type TrainedSetName, type Variant} from '../harness/workload';
import type {Records} from '../results/store';
import {megabytes, verdict, type Table} from './document';

/** What one variant of a trained set came to. */
export interface StepFigures {
  /** Bytes. */
  peak: number;
  /** Bytes between two steps. */
  atRest: number;
  /** Medians over the steps but the first, which starts everything; `time` is a part of stock's of the same round. */
  time: number;
  milliseconds: number;
  /** Largest relative difference of a loss from stock's. */
  lossDifference: number;
}

/** A set of layers that train. */
export interface MemoryRow {
  title: string;
  set: TrainedSetName;
  /** Most memory that a step may take of that of stock full fine-tuning. */
  peakGoals: {none: number; auto: number};
}

export const plainOpsBackends = ['wasm', 'tensorflow'] as const;

/** Peaks in bytes. */
export type Peaks = Record<Variant, number>;

export interface MemoryMeasurements {
  backend: string;
  tfjs: string;
  steps: number;
  /** Of real steps on `backend`. */
  results: Array<MemoryRow & {figures: Record<Variant, StepFigures>}>;
  owlore: StepFigures;
  /** The rest is by the backend that computes shapes only. */
  onWasm: Array<MemoryRow & {peaks: Peaks}>;
  /** This library's optimizer on stock's model. */
  plainOps: Array<MemoryRow & {peaks: Record<(typeof plainOpsBackends)[number], Peaks>}>;
  byOption: Array<{options: string; peaks: number[]}>;
}

export const memoryVariants = ['stock', 'none', 'auto'] as const satisfies Variant[];

/** The largest relative difference that a loss may have from stock's. */
export const LOSS_TOLERANCE = 1e-5;

/** Most times that a step may take of stock's, of the same trained set. */
const timeGoals = {none: 1.0, auto: 1.35};

/** Most memory that a step of full fine-tuning with checkpoints may take of that of stock, where the model is stock's. */
const PLAIN_OPS_GOAL = 0.135;

export function memoryTables(records: Records<MemoryMeasurements>): Table[] {
  return Object.values(records).flatMap(({measured}) => [
    peaksTable(measured),
    lossesTable(measured),
    wasmTable(measured),
    plainOpsTable(measured),
    optionsTable(measured),
  ]);
}

function peaksTable({backend, steps, results, owlore}: MemoryMeasurements): Table {
  const stockFull = results[0]!.figures.stock.peak;
  const lisa = results.find(({set}) => set === 'lisa')!.figures.auto.peak;
  return {
    name: 'peaks',
    caption:
      `Backend ${backend}, ${steps} steps: peak of tensor memory in MB and as a part of that of stock full fine-tuning; ` +
      'median time of a step and as a part of that of stock with the same trained set',
    header: ['trained', '', 'peak', 'part', 'goal', 'between steps', 'time', 'part', 'goal'],
    rows: [
      ...results.flatMap(({title, peakGoals, figures}) =>
        memoryVariants.map((variant) => {
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
  };
}

function lossesTable({steps, results}: MemoryMeasurements): Table {
  return {
    name: 'losses',
    caption: `Largest relative difference of a loss from stock's in ${steps} steps; at most ${LOSS_TOLERANCE} is allowed`,
    header: ['trained', variantTitles.none, variantTitles.auto],
    rows: results.map(({title, figures: {none, auto}}) => [
      title,
      ...[none, auto].map(({lossDifference}) => lossDifference.toExponential(1)),
    ]),
  };
}

function wasmTable({onWasm}: MemoryMeasurements): Table {
  const stockFull = onWasm[0]!.peaks.stock;
  return {
    name: 'wasm',
    caption: "Peaks on the wasm backend with tfjs's own kernels, by the shape-only backend",
    header: ['trained', '', 'peak', 'part', 'goal'],
    rows: onWasm.flatMap(({title, peakGoals, peaks}) =>
      memoryVariants.map((variant) => {
        const part = peaks[variant] / stockFull;
        return [
          variant === 'stock' ? title : '',
          variantTitles[variant],
          megabytes(peaks[variant]),
          part.toFixed(3),
          variant === 'stock' ? '' : verdict(part, {atMost: peakGoals[variant]}),
        ];
      }),
    ),
  };
}

function plainOpsTable({plainOps}: MemoryMeasurements): Table {
  return {
    name: 'plain ops',
    caption: "Peaks with this library's optimizer and stock's model, by the shape-only backend",
    header: ['trained', '', ...plainOpsBackends.flatMap((imitated) => [imitated, 'part']), 'goal'],
    rows: plainOps.flatMap(({title, set, peaks}) =>
      memoryVariants.map((variant) => {
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
  };
}

function optionsTable({byOption}: MemoryMeasurements): Table {
  return {
    name: 'options',
    caption: 'Peaks in MB where gradients wait, with checkpoints, by the shape-only backend',
    header: [
      'options',
      'all 8 blocks, embedding, head',
      '2 of 8 blocks, embedding, head',
      'OwLore',
    ],
    rows: byOption.map(({options, peaks}) => [options, ...peaks.map(megabytes)]),
  };
}
