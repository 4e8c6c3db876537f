/** The common form of the scores in this folder, and how scores from elsewhere are read. */

import type * as tfl from '@tensorflow/tfjs-layers';
import {display} from '../../common/options';
import type {CalibrationBatches} from './calibration';

/** A score per block, as plain JSON: it can be saved, loaded and passed to `samplingProbabilities`. */
export interface BlockScores {
  /** Which score this is: the name by which `blockScores` computes it. */
  kind: string;
  /** The blocks' names, in the order of the model. */
  blocks: string[];
  /** The score of each block, `>= 0`; a block with a larger score is trained more often. */
  scores: number[];
}

/** A kind of score, for the table in `score_kinds.ts`. */
export interface ScoreDefinition<Options, Scores extends BlockScores> {
  /** Its title in tables. */
  title: string;
  /** Whether it is a ratio, to be shown in percent. */
  isRatio: boolean;
  /** Whether it needs calibration data. */
  needsData: boolean;
  /** Names of its own options, beside `blocks`. */
  options: readonly string[];
  compute(model: tfl.LayersModel, batches: CalibrationBatches, options?: Options): Promise<Scores>;
}

/** Scores in the forms that a user may have: bare numbers, a result of this library, or published ratios. */
export type ScoresInput =
  | readonly number[]
  | {readonly scores: readonly number[]; readonly blocks?: readonly string[]}
  | {readonly ratios: readonly number[]; readonly blocks?: readonly string[]};

/**
 * Takes the numbers, and the blocks' names if there are any, out of `input`. Other fields are ignored.
 *
 * @throws if there is no score, one is negative or not finite, or names and scores do not match.
 */
export function readScores(
  input: ScoresInput,
  owner = 'samplingProbabilities',
): {values: number[]; blocks?: string[]} {
  checkAwaited(owner, input);
  const values = scoreList(input);
  if (values === undefined || values.length === 0) {
    throw new Error(
      `${owner}: scores must be a non-empty array of numbers, or an object that has one ` +
        `as 'scores' or 'ratios'; got ${display(input)}`,
    );
  }
  const wrong = values.findIndex((value) => !(Number.isFinite(value) && value >= 0));
  if (wrong >= 0) {
    throw new Error(
      `${owner}: every score must be a finite number >= 0; ` +
        `scores[${wrong}] is ${display(values[wrong])}`,
    );
  }
  const {blocks} = input as {blocks?: readonly string[]};
  if (blocks === undefined) return {values: [...values]};
  const isNames = isList(blocks) && blocks.every((name) => typeof name === 'string');
  if (!isNames || blocks.length !== values.length || new Set(blocks).size !== blocks.length) {
    throw new Error(
      `${owner}: blocks must name each of the ${values.length} scores once; ` +
        `got ${display(blocks)}`,
    );
  }
  return {values: [...values], blocks: [...blocks]};
}

/** Throws if scores are those that a function of this library has only promised. */
export function checkAwaited(owner: string, scores: unknown): void {
  if (!(scores instanceof Promise)) return;
  throw new Error(`${owner}: scores is a promise: await it`);
}

function scoreList(input: ScoresInput): readonly number[] | undefined {
  if (typeof input !== 'object' || input === null) return undefined;
  const list = 'scores' in input ? input.scores : 'ratios' in input ? input.ratios : input;
  return isList(list) ? list : undefined;
}

/** `Array.isArray` for read-only arrays. */
function isList(value: unknown): value is readonly never[] {
  return Array.isArray(value);
}
