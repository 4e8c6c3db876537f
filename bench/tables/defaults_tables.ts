/** The tables that `npm run bench -- defaults` makes of its results. */
import {owloreDefaults, type OwLoreOptions} from '../../src/owlore/optimizer/options';
import type {Trained} from '../../tools/ordinary_models';
import type {Records} from '../results/store';
import type {Table} from './document';

export const SIDES = ['paper', 'left', 'auto'] as const;
export const SCALES = [1, 'auto'] as const;

/** What an optimizer has in place of the defaults. */
export interface Variant {
  side: (typeof SIDES)[number];
  scale: (typeof SCALES)[number];
}

export const variants: Variant[] = SCALES.flatMap((scale) => SIDES.map((side) => ({side, scale})));

export function nameOf({side, scale}: Pick<OwLoreOptions, 'side' | 'scale'>): string {
  return `${side}, ${scale}`;
}

/** The variant that has the defaults. */
export const defaults = nameOf(owloreDefaults);

/** Of one model. */
export interface DefaultsMeasurements {
  backend: string;
  tfjs: string;
  seeds: number[];
  /** Matrices that are projected, of all. */
  projected: [number, number];
  /** Numbers of the state of all matrices, as parts of Adam's. */
  state: Record<Variant['side'], number>;
  adam: Trained[];
  /** By the names of the variants. */
  runs: Record<string, Trained[]>;
}

type Row = [title: string, measured: DefaultsMeasurements];

/** @param records By the titles of the models. */
export function defaultsTables(records: Records<DefaultsMeasurements>): Table[] {
  const rows = Object.entries(records).map(([title, {measured}]): Row => [title, measured]);
  const projected = rows.filter(([, measured]) => measured.projected[0] > 0);
  return [
    {
      name: 'defaults',
      caption:
        'What is learned, in per cent of what tf.train.adam learns: mean of the seeds (least to most)',
      header: [
        ...['model', 'projected', "state, of Adam's"],
        ...['loss, Adam', 'loss, defaults', 'learned'],
      ],
      rows: rows.map(summary),
    },
    {
      name: 'losses',
      caption: 'Held-out loss, mean of the seeds',
      header: ['model', 'Adam', ...variants.map(({side, scale}) => `\`${side}\`, scale ${scale}`)],
      rows: projected.map(([title, {adam, runs}]) => [
        title,
        ...[adam, ...variants.map((variant) => runs[nameOf(variant)]!)].map(finalLoss),
      ]),
    },
    {
      name: 'state',
      caption: "State of the matrices, in parts of Adam's",
      header: ['model', ...SIDES.map((side) => `\`${side}\``)],
      rows: projected.map(([title, {state}]) => [
        title,
        ...SIDES.map((side) => state[side].toFixed(2)),
      ]),
    },
  ];
}

/** For each seed how far the held-out loss fell with the defaults, as a part of how far Adam's did. */
export function learned({adam, runs}: DefaultsMeasurements): number[] {
  return ours(runs).map(({before, heldOut}, i) => {
    const theirs = adam[i]!;
    return (before - heldOut) / (theirs.before - theirs.heldOut);
  });
}

/** A line about one model. */
export function summary([title, measured]: Row): string[] {
  const {projected, state, adam, runs} = measured;
  const parts = learned(measured).map((value) => 100 * value);
  const [min, max] = [Math.min(...parts), Math.max(...parts)];
  const first = mean(adam.map(({before}) => before));
  return [
    title,
    projected.join(' of '),
    (state as Record<string, number>)[owloreDefaults.side]!.toFixed(2),
    `${first.toPrecision(3)} → ${finalLoss(adam)}`,
    finalLoss(ours(runs)),
    `${mean(parts).toFixed(1)} % (${min.toFixed(1)} to ${max.toFixed(1)})`,
  ];
}

/** The runs with the defaults; without a projection all variants are the same, and there is but one. */
function ours(runs: DefaultsMeasurements['runs']): Trained[] {
  return runs[defaults] ?? Object.values(runs)[0]!;
}

function finalLoss(trained: readonly Trained[]): string {
  return mean(trained.map(({heldOut}) => heldOut)).toPrecision(3);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
