/** From cells to what the page shows: rows with means over seeds, paired differences, the claims of the paper. */
import {
  deviation,
  mean,
  pairedDifference,
  paretoFront,
  type OfSeed,
  type PairedDifference,
} from './arithmetic';
import {cellName} from './cells';
import {claims} from './paper';
import {
  cellOf,
  chosenRate,
  hasSearch,
  rateOf,
  stagesOf,
  triedRates,
  tunedTraining,
  type Row,
  type Stage,
} from './plan';
import type {CellRecord, Measured, Results} from './records';
import type {Setting, Tuned} from './settings';
import type {TaskScores} from './tasks';

type Training = NonNullable<Measured['training']>;

/** A row with its cells that are done. */
export interface RowSummary {
  title: string;
  method: string;
  gamma: number | null;
  rate: number;
  /** Held-out losses; trainings that came to no end are counted apart. */
  losses: OfSeed[];
  /** Of the seed that was asked questions. */
  tasks: TaskScores | null;
  failed: number;
  loss: number;
  /** NaN of one seed. */
  deviation: number;
  neutral: number;
  /** The most of all seeds, in bytes. */
  memory: {peak: number; state: number; weights: number; resident: number};
  /** Means over the seeds. */
  changed: Training['changed'];
  /** Training loss of each seed, step by step. */
  curves: {seed: number; train: number[]; heldOut: {step: number; loss: number}[]}[];
  /** How much more its loss is than that of the row that it is to be better than; null if there is none, or no seed of both. */
  difference: (PairedDifference & {against: string}) | null;
  /** Of the first seed. */
  on: number[][];
  scores: number[] | null;
}

export interface StageSummary {
  name: Stage['name'];
  title: string;
  rows: RowSummary[];
  /** Rows without a cell that is done. */
  missing: string[];
}

export interface ClaimSummary {
  better: string;
  worse: string;
  /** Null: not measured yet. */
  difference: PairedDifference | null;
  verdict: 'holds' | 'the contrary' | 'not shown' | 'one seed' | 'not measured';
}

export interface RateSummary {
  title: string;
  tried: {rate: number; loss: number | null}[];
  best: number | null;
}

export interface SettingSummary {
  name: string;
  title: string;
  about: Setting['about'];
  steps: number;
  /** Whether the rates were searched for in this setting. */
  hasSearch: boolean;
  /** Whether models are asked questions in this setting. */
  asksQuestions: boolean;
  machine: string[];
  commits: string[];
  dates: string[];
  /** Of the model before training. */
  before: {heldOut: number; neutral: number; tasks: TaskScores | null} | null;
  rates: RateSummary[];
  stages: StageSummary[];
  /** Titles of the rows of {@link onePlot} on the Pareto front of loss and memory. */
  paretoFront: string[];
  claims: ClaimSummary[];
}

export function summaryOf(setting: Setting, {cells}: Results): SettingSummary {
  const stages = withDifferences(
    stagesOf(setting).map((stage) => [stage, stageSummary(setting, stage, cells)] as const),
  );
  const records = [...cells.values()];
  const untrained = cells.get('untrained_on-test')?.measured;
  const points = onePlot(stages).map(({title, loss, memory}) => ({
    ...{title, loss, bytes: memory.peak},
  }));
  const all = stages.flatMap(({rows}) => rows);
  return {
    ...{
      name: setting.name,
      title: setting.title,
      about: setting.about,
      steps: setting.training.steps,
    },
    hasSearch: hasSearch(setting),
    asksQuestions: setting.asked !== undefined,
    machine: distinct(records.map(({machine}) => machine)),
    commits: distinct(records.map(({commit}) => commit)),
    dates: distinct(records.map(({date}) => date)).sort(),
    before: untrained
      ? {
          heldOut: untrained.heldOut.loss,
          neutral: untrained.neutral.loss,
          tasks: untrained.tasks ?? null,
        }
      : null,
    rates: ratesOf(setting, cells),
    stages,
    paretoFront: paretoFront(points).map(({title}) => title),
    claims: claims.map(({better, worse}) => {
      const [one, other] = [better, worse].map((title) => all.find((row) => row.title === title));
      const difference = one && other ? pairedDifference(one.losses, other.losses) : null;
      return {better, worse, difference, verdict: verdictOn(difference)};
    }),
  };
}

/** The rows whose losses and memory are shown together: the methods, and OwLore with a frozen embedding. */
export function onePlot(stages: readonly StageSummary[]): RowSummary[] {
  return stages.filter(({name}) => name === 'main' || name === 'frozen').flatMap(({rows}) => rows);
}

/** Pairs rows with those that they are to be better than, which may be of other stages. */
function withDifferences(stages: ReadonlyArray<readonly [Stage, StageSummary]>): StageSummary[] {
  const all = stages.flatMap(([, {rows}]) => rows);
  return stages.map(([stage, summary]) => ({
    ...summary,
    rows: summary.rows.map((row) => {
      const {against} = stage.rows.find(({title}) => title === row.title)!;
      const other = all.find(({title}) => title === against);
      const difference = other ? pairedDifference(row.losses, other.losses) : null;
      return {...row, difference: difference && {...difference, against: against!}};
    }),
  }));
}

/** Whether the first of two rows has the lower loss: known only if the whole 95 % interval is on one side of 0. */
export function verdictOn(difference: PairedDifference | null): ClaimSummary['verdict'] {
  if (difference === null) return 'not measured';
  const {mean: center, halfWidth} = difference;
  if (Number.isNaN(halfWidth)) return 'one seed';
  if (center + halfWidth < 0) return 'holds';
  return center - halfWidth > 0 ? 'the contrary' : 'not shown';
}

type Cells = ReadonlyMap<string, CellRecord>;

function stageSummary(setting: Setting, {name, title, rows}: Stage, cells: Cells): StageSummary {
  const seeds = commonSeeds(setting, rows, cells);
  const summaries = rows.map((row) => [row.title, rowSummary(setting, row, cells, seeds)] as const);
  return {
    ...{name, title},
    rows: summaries.flatMap(([, summary]) => (summary ? [summary] : [])),
    missing: summaries.flatMap(([of, summary]) => (summary ? [] : [of])),
  };
}

/** The seeds with which all rows are done that are begun, so that means of a stage that is still running can be compared. */
function commonSeeds(setting: Setting, rows: readonly Row[], cells: Cells): number[] {
  const begun = rows
    .map((row) => doneCells(setting, row, cells).map(({seed}) => seed))
    .filter((seeds) => seeds.length > 0);
  const planned = new Set(rows.flatMap(({seeds = setting.seeds.tables}) => seeds));
  return [...planned].filter((seed) => begun.every((seeds) => seeds.includes(seed)));
}

/** The cells of a row that are done. */
function doneCells(
  setting: Setting,
  row: Row,
  cells: Cells,
): Array<{seed: number; record: CellRecord}> {
  const rate = rateOf(setting, row, cells);
  if (rate === null) return [];
  return (row.seeds ?? setting.seeds.tables).flatMap((seed) => {
    const record = cells.get(cellName(cellOf(row, rate, seed)));
    return record ? [{seed, record}] : [];
  });
}

/** @returns null if no cell of the row with one of the seeds is done, or none came to an end. */
function rowSummary(
  setting: Setting,
  row: Row,
  cells: Cells,
  seeds: readonly number[],
): RowSummary | null {
  const rate = rateOf(setting, row, cells);
  if (rate === null) return null;
  const done = doneCells(setting, row, cells).filter(({seed}) => seeds.includes(seed));
  const ended = done.flatMap(({seed, record: {measured}}) =>
    measured?.training ? [{seed, measured, training: measured.training}] : [],
  );
  if (ended.length === 0) return null;
  const trainings = ended.map(({training}) => training);
  const losses = ended.map(({seed, measured}) => ({seed, value: measured.heldOut.loss}));
  const values = losses.map(({value}) => value);
  const max = (of: (training: Training) => number): number => Math.max(...trainings.map(of));
  const average = (of: (training: Training) => number): number => mean(trainings.map(of));
  return {
    ...{title: row.title, method: row.method, rate, losses},
    gamma: row.gamma ?? null,
    tasks: ended.find(({measured}) => measured.tasks)?.measured.tasks ?? null,
    failed: done.length - ended.length,
    ...{loss: mean(values), deviation: deviation(values)},
    neutral: mean(ended.map(({measured}) => measured.neutral.loss)),
    memory: {
      peak: max(({peakBytes}) => peakBytes),
      state: max(({stateBytes}) => stateBytes),
      weights: max(({weightBytes}) => weightBytes),
      resident: max(({residentBytes}) => residentBytes),
    },
    changed: {
      share: average(({changed}) => changed.share),
      norm: average(({changed}) => changed.norm),
    },
    curves: ended.map(({seed, training}) => ({
      seed,
      train: training.steps.loss,
      heldOut: training.curve,
    })),
    difference: null,
    ...{on: trainings[0]!.steps.on, scores: trainings[0]!.scores},
  };
}

function ratesOf(setting: Setting, cells: Cells): RateSummary[] {
  return Object.keys(setting.rates).flatMap((key) => {
    const tuned = key as Tuned;
    const tried = triedRates(setting, tuned, cells).sort((a, b) => a.rate - b.rate);
    if (tried.length === 0) return [];
    return [
      {
        title: tunedTraining(tuned).title,
        tried: tried.map(({rate, loss}) => ({rate, loss: Number.isFinite(loss) ? loss : null})),
        best: chosenRate(setting, tuned, cells),
      },
    ];
  });
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
