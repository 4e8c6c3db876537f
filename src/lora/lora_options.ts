import {checkKnown, checkNumber, definedIn, seedRange} from '../common/options';
import type {LoraTargets} from './targets';

/** Options of `applyLora`. */
export interface LoraOptions {
  /** Columns of A, rows of B; an integer ≥ 1, at most the smaller dimension of each matrix. Default 8. */
  rank?: number;
  /** α: the product of A and B counts α / rank times. A number in (0, 1e38], which float32 has. Default 8. */
  alpha?: number;
  /** Probability, in [0, 1), with which an input of A is 0 in training. Default 0. */
  dropout?: number;
  /** Which matrices are adapted. Default `'all-linear'`. */
  targets?: LoraTargets;
  /** An integer in [0, 2³² − 1]; the same seed gives the same A and the same dropout. Default 0. */
  seed?: number;
}

/** Defaults, those of peft; its targets depend on the model. */
export const loraDefaults: Required<LoraOptions> = {
  rank: 8,
  alpha: 8,
  dropout: 0,
  targets: 'all-linear',
  seed: 0,
};

/** @throws Error that names the option, its value and what is allowed. */
export function resolveLoraOptions(owner: string, options: LoraOptions): Required<LoraOptions> {
  checkKnown(owner, options, Object.keys(loraDefaults));
  const resolved = {...loraDefaults, ...definedIn(options)};
  checkNumber(owner, 'rank', resolved.rank, {integer: true, min: 1});
  checkNumber(owner, 'alpha', resolved.alpha, {exclusiveMin: 0, max: 1e38});
  checkNumber(owner, 'dropout', resolved.dropout, {min: 0, exclusiveMax: 1});
  checkNumber(owner, 'seed', resolved.seed, seedRange);
  return resolved;
}
