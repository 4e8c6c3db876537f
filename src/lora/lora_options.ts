import {defaultsOf, resolveOptions, seedRange, type OptionTable} from '../common/options';
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

/** Everything about an option but its type and its meaning. Defaults are those of peft. */
export const loraOptions: OptionTable<Required<LoraOptions>> = {
  rank: {default: 8, check: {integer: true, min: 1}},
  alpha: {default: 8, check: {exclusiveMin: 0, max: 1e38}},
  dropout: {default: 0, check: {min: 0, exclusiveMax: 1}},
  // checked with the model
  targets: {default: 'all-linear'},
  seed: {default: 0, check: seedRange},
};

export const loraDefaults = /* @__PURE__ */ defaultsOf(loraOptions);

/** @throws Error that names the option, its value and what is allowed. */
export function resolveLoraOptions(owner: string, options: LoraOptions): Required<LoraOptions> {
  return resolveOptions(owner, loraOptions, options);
}
