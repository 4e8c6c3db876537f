/** What a setting of the comparison is: a model, its data, and how all of its cells train. */
import type {PaperMethodName} from '../../../src/methods';
import type {ScoreKind} from '../../../src/owlore/scores/score_kinds';
import type {Options} from '../cells';
import type {Question} from '../tasks';

/** What has a learning rate of its own: the methods, and OwLore with the embedding frozen. */
export type Tuned = PaperMethodName | 'owlore-frozen';

/** Records of a jsonl file that `textDataset` reads. */
export type Records = readonly object[];

/** The scores that the paper compares. */
export type ComparedScore = Extract<ScoreKind, 'outlier' | 'relativeMagnitude' | 'blockInfluence'>;

/** The data of a setting, of which nothing is committed. */
export interface SettingData {
  /** Trained on. */
  train: Records;
  /** Held out of the training data: a few of them for the curve of each run, all of them to choose rates by. */
  validation: Records;
  /** Held out for the tables. */
  test: Records;
  /** Another kind of text, whose loss says what a training has made the model forget. */
  neutral: Records;
  /** What the model is asked after training, in the first seed of each row of methods; default: nothing. */
  questions?: readonly Question[];
}

/** What a user gives for a setting. */
export interface Given {
  /** The model's folder. */
  model: string;
  /** The folder of the data; empty for a setting that needs none. */
  data: string;
}

export interface Setting {
  name: string;
  /** For the page: model and task in a few words. */
  title: string;
  /** Where the data come from, and which part of them is used. */
  about: {training: string; heldOut: string; neutral: string};
  /** The model that comes with the repository; null: a user gives one. */
  model: string | null;
  /** What `--data` is; null if there is nothing to give. */
  data: string | null;
  backend: 'tensorflow' | 'wasm';
  /** Makes the data. */
  read(given: Given): Promise<SettingData>;
  /** Options of `finetune` for all cells. */
  training: Options & {steps: number; maxLength: number; batchSize: number};
  /** Options of `finetune` for the cells of one method. */
  methodOptions: Partial<Record<PaperMethodName, Options>>;
  /** Examples of `validation` that the curve of a run is of. */
  curveExamples: number;
  /** How neutral texts are read. */
  neutral: {maxLength: number; packing: boolean};
  /** The τ of outlier scores. */
  tau: number;
  /** What scores are computed on: batches of the training data. */
  calibration: {batches: number; batchSize: number};
  /** Kinds of scores that are drawn by, beside uniform ones. */
  scores: readonly ComparedScore[];
  /** The rates that are tried first: neighbours on the grid of 1, 2 and 5 times powers of ten. */
  rates: Readonly<Partial<Record<Tuned, readonly number[]>>>;
  /** Whether the best rate is searched for; if not, there is one for each method. Default true. */
  isSearched?: boolean;
  /** Numbers of blocks, and thresholds of outliers, that are tried. */
  gammas: readonly number[];
  taus: readonly number[];
  /** The setting whose rates it has, where it has no search of its own. */
  ratesOf?: string;
  /** The methods that are asked the questions; default: none. */
  asked?: readonly PaperMethodName[];
  /** Methods of the stage `main`; default: all. */
  methods?: readonly PaperMethodName[];
  /** The stages that there are; default: all. */
  stages?: readonly string[];
  /** `fresh`: those of the stage `confirmation`, with which nothing was chosen. */
  seeds: {rates: number; tables: readonly number[]; fresh?: readonly number[]};
}
