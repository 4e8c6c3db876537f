/** What the comparison consists of: its stages, their rows, and the cells of each, in the order in which they run. */
import {finetuneOptions} from '../../src/cli/finetune_options';
import {needsScores, paperMethods, type MethodParts, type PaperMethodName} from '../../src/methods';
import {cellName, untrained, type Cell, type Options} from './cells';
import {bestOf, nextRates, type Tried} from './rates';
import type {CellRecord} from './records';
import type {ComparedScore, Setting, Tuned} from './settings';

/** A line of a table: the trainings that differ in their seeds alone. */
export interface Row {
  /** As tables call it. */
  title: string;
  method: PaperMethodName;
  /** Options beside method, rate and seed. */
  options: Options;
  /** Whose rate it has; default: its method's. */
  rateOf?: Tuned;
  /** Blocks that are on, in the stage that compares their numbers. */
  gamma?: number;
  /** Seeds of this row alone; default: those of the setting's tables. */
  seeds?: readonly number[];
  /** Title of the row, of any stage, that it is to be better than. */
  against?: string;
}

/** A part of the comparison that can be run alone. */
export interface Stage {
  name: Exclude<StageName, 'rates'>;
  title: string;
  rows: Row[];
}

export const stageNames = [
  'rates',
  'main',
  'samplers',
  'confirmation',
  'gamma',
  'tau',
  'improvements',
  'frozen',
  'bases',
] as const;
export type StageName = (typeof stageNames)[number];

const scoreTitles: Record<ComparedScore, string> = {
  outlier: 'OWS',
  relativeMagnitude: 'RM',
  blockInfluence: 'BI',
};
const uniform = 'uniform';
/** The rule of the stage `samplers` that the seeds of the tables gave the lowest losses beside uniform, over all settings. */
const bestRule = 'RM';

/** The stages after that of the rates, each with its rows; a row may be in several. */
export function stagesOf(setting: Setting): Stage[] {
  const ows = outlierScores(setting);
  const row = (method: PaperMethodName, options: Options = {}, title?: string): Row => ({
    title: title ?? paperMethods[method].title,
    method,
    options: {...scoresOf(setting, method), ...options},
    ...(method === 'lisa-d' && {rateOf: 'lisa' as const}),
  });
  const methods = [
    ...(['full', 'lora', 'lisa', 'galore', 'owlore-full', 'owlore'] as const),
    ...(['lisa-d', 'badam'] as const),
  ].filter((method) => setting.methods?.includes(method) ?? true);
  // one seed is enough to see a trend, and pairs with the same seed of the main table
  const [first] = setting.seeds.tables;
  const one = (of: Row): Row => ({...of, seeds: [first!]});
  // LISA has no options for what is projected
  const {rank, refreshInterval} = setting.methodOptions.owlore!;
  const interval = Number(setting.training['interval']);
  const subspace = {rank: rank!, refreshInterval: refreshInterval!};
  const drawn = (by: string, options: Options): Row => ({
    ...{title: `OwLore, ${by}`, method: 'owlore', options, against: `OwLore, ${uniform}`},
  });
  const beside = (against: Row, options: Options, change: string): Row => ({
    ...{...against, title: `${against.title}, ${change}`, against: against.title},
    options: {...against.options, ...options},
  });
  const [owlore, lisa, galore] = [row('owlore'), row('lisa'), row('galore')];
  // so often that what a refresh does to the moments can be seen
  const often = beside(
    galore,
    {refreshInterval: Number(setting.methodOptions.galore!['refreshInterval']) / 10},
    'bases ten times as often',
  );
  const evenly = {...drawn(uniform, {scores: uniform}), against: undefined};
  const rules = [
    ...setting.scores.map((kind) =>
      drawn(scoreTitles[kind], kind === 'outlier' ? ows : {scores: kind}),
    ),
    drawn('OWS with a floor of 0.1', {...ows, floor: 0.1}),
    drawn('OWS or visits so far', {...ows, adaptive: 'visits'}),
    drawn('OWS of the present weights', {...ows, adaptive: 'scores', renewEvery: 2}),
    drawn('gradient norms', {scores: uniform, adaptive: 'gradients'}),
    drawn('bandit', {scores: uniform, adaptive: 'bandit'}),
    drawn('all before one comes again', {sampler: 'permutation'}),
  ];
  const ownGamma = defaultGamma(setting, 'owlore')!;
  const frozen = (title: string, options: Options): Row => ({
    ...row('owlore', {embedding: 'frozen', ...options}, `OwLore, embedding frozen, ${title}`),
    ...{rateOf: 'owlore-frozen', against: paperMethods.lora.title},
  });
  const onFreshSeeds = (of: Row): Row => ({
    ...{...of, title: `${of.title}, fresh seeds`, seeds: setting.seeds.fresh ?? []},
    against: of.against && `${of.against}, fresh seeds`,
  });
  const stages: Stage[] = [
    {name: 'main', title: 'Methods', rows: methods.map((method) => row(method))},
    {name: 'samplers', title: 'What draws the blocks', rows: [evenly, ...rules]},
    {
      name: 'confirmation',
      title: 'The best rule on seeds that did not choose it',
      rows: [evenly, rules.find(({title}) => title === drawn(bestRule, {}).title)!].map(
        onFreshSeeds,
      ),
    },
    {
      name: 'gamma',
      title: 'How many blocks are on',
      rows: (['lisa', 'owlore'] as const).flatMap((method) =>
        setting.gammas.map((gamma) => {
          const options = withoutDefault(setting, method, gamma);
          const title = `${paperMethods[method].title}, γ ${gamma}`;
          return {...one(row(method, options, title)), gamma};
        }),
      ),
    },
    {
      name: 'tau',
      title: 'What counts as an outlier',
      rows: [...new Set([setting.tau, ...setting.taus])]
        .sort((a, b) => a - b)
        .map((tau) =>
          one({title: `OwLore, τ ${tau}`, method: 'owlore', options: {scores: 'outlier', tau}}),
        ),
    },
    {
      name: 'improvements',
      title: 'Beyond the paper',
      rows: [
        beside(owlore, {embeddingRate: 0.1}, 'embedding at a tenth of the rate'),
        beside(owlore, {embedding: 'low-rank'}, 'embedding low-rank'),
        beside(owlore, {embedding: 'frozen'}, 'embedding frozen'),
        beside(lisa, {embedding: 'low-rank', ...subspace}, 'embedding low-rank'),
        beside(lisa, {embedding: 'frozen'}, 'embedding frozen'),
        beside(owlore, {update: 'fira'}, 'Fira'),
        beside(owlore, {update: 'apollo'}, 'APOLLO'),
        beside(owlore, {interval: Math.round(interval / 3)}, 'blocks three times as often'),
      ],
    },
    {
      name: 'frozen',
      title: 'A frozen embedding with a rate of its own, and more blocks',
      rows: [ownGamma, ...setting.gammas.filter((gamma) => gamma > ownGamma)].map((gamma) =>
        frozen(`γ ${gamma}`, withoutDefault(setting, 'owlore', gamma)),
      ),
    },
    {
      name: 'bases',
      title: 'When bases are renewed',
      rows: [
        one(often),
        one(beside(often, {moments: 'rotate'}, 'moments rotated')),
        one(beside(often, {refreshSimilarity: 0.4}, 'only where they turn')),
      ],
    },
  ];
  return stages.filter(({name}) => setting.stages?.includes(name) ?? true);
}

function outlierScores({tau}: Setting): Options {
  return {scores: 'outlier', tau};
}

/** The scores by which a method draws, if it has none of its own: outlier scores. */
export function scoresOf(setting: Setting, method: PaperMethodName): Options {
  const {sampling}: MethodParts = paperMethods[method];
  return needsScores(sampling) ? outlierScores(setting) : {};
}

/** The γ of a method; undefined if it has none. */
function defaultGamma(setting: Setting, method: PaperMethodName): number | undefined {
  const {sampling}: MethodParts = paperMethods[method];
  const own = setting.methodOptions[method]?.['gamma'];
  return own === undefined ? sampling?.gamma : Number(own);
}

/** γ as an option, unless the method has it anyway, so that one training has one name. */
function withoutDefault(setting: Setting, method: PaperMethodName, gamma: number): Options {
  return gamma === defaultGamma(setting, method) ? {} : {gamma};
}

/** The cell of a row. */
export function cellOf({method, options}: Row, learningRate: number, seed: number): Cell {
  return {options: {method, ...options, learningRate, seed}, heldOut: 'test'};
}

/** The options of a cell that `finetune` no longer has: such a cell is shown by its record, and never run. */
export function goneOptions({options}: Cell): string[] {
  return Object.keys(options).filter((name) => !Object.hasOwn(finetuneOptions, name));
}

/** What a rate is searched for, with its title. */
export function tunedTraining(tuned: Tuned): {
  title: string;
  method: PaperMethodName;
  options: Options;
} {
  if (tuned !== 'owlore-frozen')
    return {title: paperMethods[tuned].title, method: tuned, options: {}};
  const {title} = paperMethods.owlore;
  return {
    title: `${title}, embedding frozen`,
    method: 'owlore',
    options: {embedding: 'frozen'},
  };
}

/** A cell of the search for a rate. */
function rateCell(setting: Setting, tuned: Tuned, learningRate: number): Cell {
  const {method, options: own} = tunedTraining(tuned);
  const {rates: seed} = setting.seeds;
  const options = {method, ...scoresOf(setting, method), ...own, learningRate, seed};
  return {options, heldOut: 'validation'};
}

type Cells = ReadonlyMap<string, CellRecord>;

/** The rates that were tried, with their losses. */
export function triedRates(setting: Setting, tuned: Tuned, cells: Cells): Tried[] {
  const {options, heldOut} = rateCell(setting, tuned, 1);
  return [...cells.values()].flatMap(({cell, measured}) => {
    const rate = cell.options['learningRate'];
    const isOne =
      typeof rate === 'number' &&
      cellName(cell) === cellName({options: {...options, learningRate: rate}, heldOut});
    if (!isOne) return [];
    const loss = measured?.heldOut.loss ?? Infinity;
    return [{rate, loss: Number.isFinite(loss) ? loss : Infinity}];
  });
}

/** Whether rates are searched for at all. */
export function hasSearch({isSearched = true}: Setting): boolean {
  return isSearched;
}

/** The rate with which a training is compared; null while it is not known. */
export function chosenRate(setting: Setting, tuned: Tuned, cells: Cells): number | null {
  const first = setting.rates[tuned] ?? [];
  if (!hasSearch(setting) && first.length === 1) return first[0]!;
  const tried = triedRates(setting, tuned, cells);
  if (first.length === 0 || tried.length === 0) return null;
  return nextRates(first, tried).length > 0 ? null : bestOf(tried).rate;
}

export function rateOf(
  setting: Setting,
  {method, rateOf: other}: Row,
  cells: Cells,
): number | null {
  return chosenRate(setting, other ?? method, cells);
}

export interface Planned {
  stage: StageName;
  title: string;
  cell: Cell;
}

/** What is to come. */
export interface Plan {
  /** In the order in which they run, without those that are done or cannot be run any more; no cell twice. */
  cells: Planned[];
  /** Rows whose cells are not known yet, since the search for their rate is not over. */
  waiting: {stage: StageName; title: string; cells: number}[];
}

/** What is to come after the cells that are done, of all stages or of one. */
export function planOf(setting: Setting, done: Cells, only?: StageName): Plan {
  const cells: Planned[] = [];
  const waiting: Plan['waiting'] = [];
  const seen = new Set(done.keys());
  const add = (planned: Planned): void => {
    const name = cellName(planned.cell);
    if (seen.has(name) || goneOptions(planned.cell).length > 0) return;
    seen.add(name);
    cells.push(planned);
  };
  const isWanted = (stage: StageName): boolean => only === undefined || only === stage;
  if (isWanted('rates') && hasSearch(setting)) {
    const title = 'as it is';
    add({stage: 'rates', title, cell: untrained('validation')});
    for (const [tuned, first] of Object.entries(setting.rates)) {
      const name = tuned as Tuned;
      const tried = triedRates(setting, name, done);
      for (const rate of nextRates(first, tried)) {
        const {title: of} = tunedTraining(name);
        add({stage: 'rates', title: `${of}, rate ${rate}`, cell: rateCell(setting, name, rate)});
      }
    }
  }
  for (const {name: stage, rows} of stagesOf(setting)) {
    if (!isWanted(stage)) continue;
    if (stage === 'main') add({stage, title: 'as it is', cell: untrained('test')});
    const seeds = [...new Set(rows.flatMap((row) => row.seeds ?? setting.seeds.tables))];
    // seed by seed, so that what is there at any time can be compared
    for (const seed of seeds) {
      for (const row of rows) {
        if (!(row.seeds ?? setting.seeds.tables).includes(seed)) continue;
        const rate = rateOf(setting, row, done);
        const title = `${row.title}, seed ${seed}`;
        if (rate === null) waiting.push({stage, title, cells: 1});
        else add({stage, title, cell: cellOf(row, rate, seed)});
      }
    }
  }
  return {cells, waiting};
}
