import type {BlockSelector} from './model/blocks';
import {checkSelector, type VariableSelector} from './model/variable_selector';
import {
  checkChoice,
  defaultsOf,
  display,
  resolveOptions,
  seedRange,
  stepRange,
  type OptionTable,
} from './options';
import {presetNames, type PresetName} from './sampling/presets';
import {
  probabilityDefaults,
  probabilityMethods,
  type ProbabilityMethod,
  type SamplingProbabilities,
} from './sampling/probabilities';
import {checkHistory, type BlockHistory} from './sampling/periods';
import {samplerNames, type SamplerName} from './sampling/samplers';
import {checkAwaited, type ScoresInput} from './scores/scores';

/** Options of {@link LayerSamplingCallback}; every one has a default. */
export interface LayerSamplingOptions {
  /**
   * Scores of the blocks, from which the probabilities are made: a result of `outlierScores` (OwLore) or another score function,
   * numbers, or `'uniform'` (LISA), `'decreasing'` (LISA-D). Scores of blocks without a trainable weight are left out. Default
   * `'uniform'`.
   */
  scores?: ScoresInput | PresetName;
  /**
   * Probabilities of the blocks, in place of scores, gamma, method and floor. The probability of a block without a trainable
   * weight goes to the others, in proportion.
   */
  probabilities?: readonly number[] | SamplingProbabilities;
  /**
   * γ > 0, the expected number of blocks that are on; at most the number of blocks that can be drawn, which have a trainable
   * weight and a score above 0 (or `floor` > 0). Default `'auto'`: the paper's 5; in a model of fewer than six blocks, one less
   * than there are, but at least 1 (a log line says so).
   */
  gamma?: number | 'auto';
  /** What happens where γ·D/ΣD passes 1; see `samplingProbabilities`. Default `'waterfill'`. */
  method?: ProbabilityMethod;
  /**
   * Part of the uniform distribution mixed in, 0 to 1, so that no block starves: without it one with a score of 0 is never drawn, as in
   * the paper. Default 0.
   */
  floor?: number;
  /**
   * Optimizer steps in a sampling period, ≥ 1. Default `'auto'`: the paper's 50, or a tenth of the steps of the callback's first `fit`
   * if that is less, but at least 10; 50 where their number is not known, as in a loop of your own. Chosen once, and saved with the state.
   */
  interval?: number | 'auto';
  /**
   * How the blocks of a period are drawn, where p are the probabilities. `'exact'`: Σp blocks (rounded up or down at random);
   * `'bernoulli'`: each block independently, as in the paper; `'choice'`: γ draws without replacement, as in the published code;
   * `'permutation'`: γ at a time in random order, whatever the scores (BAdam). Default `'exact'`.
   */
  sampler?: SamplerName;
  /** Which parts of the model are blocks; see `findBlocks`. Default `'auto'`. */
  blocks?: BlockSelector;
  /**
   * Which weights are on in every period. Default `'auto'`: all that are in no block (embedding, norm, head). `false`:
   * none. A selector: the weights that it picks, in a block or not; a weight that is in no block and not picked stays frozen.
   */
  alwaysOn?: 'auto' | false | VariableSelector;
  /** Seed of the draws, an integer from 0 to 2³² − 1. Default 0. */
  seed?: number;
  /** The `blockHistory` of another run, to replay in place of drawing; its `interval` is used. Blocks without a trainable weight stay off. */
  blockHistory?: BlockHistory;
  /** Optimizer steps that an earlier run has done: its draws are skipped. At most 1e9. Default 0. */
  initialStep?: number;
}

/** The name at the beginning of messages. */
export const callbackName = 'LayerSamplingCallback';

type WithoutDefault = 'probabilities' | 'blockHistory';

/** Options with every default filled in. */
export type ResolvedLayerSamplingOptions = Required<Omit<LayerSamplingOptions, WithoutDefault>> & {
  [Name in WithoutDefault]: LayerSamplingOptions[Name];
};

/** Everything about an option but its type and its meaning, which {@link LayerSamplingOptions} says: to add one, add it there and here. */
export const layerSamplingOptions: OptionTable<ResolvedLayerSamplingOptions> = {
  scores: {
    default: 'uniform',
    check(owner, name, value) {
      checkAwaited(owner, value);
      if (typeof value === 'string') checkChoice(owner, name, value, presetNames);
    },
  },
  probabilities: {default: undefined, check: checkProbabilities},
  gamma: {default: 'auto', check: {exclusiveMin: 0}},
  method: {default: probabilityDefaults.method, check: probabilityMethods},
  floor: {default: probabilityDefaults.floor, check: {min: 0, max: 1}},
  interval: {default: 'auto', check: {min: 1, integer: true}},
  sampler: {default: 'exact', check: samplerNames},
  // checked with the model
  blocks: {default: 'auto'},
  alwaysOn: {
    default: 'auto',
    check(owner, name, value) {
      if (value !== false) checkSelector(owner, name, value, `'auto', false`);
    },
  },
  seed: {default: 0, check: seedRange},
  blockHistory: {default: undefined, check: (owner, _, value) => checkHistory(owner, value)},
  // it is where a training begins, and a checkpoint says where it goes on
  initialStep: {default: 0, check: stepRange, mayDiffer: true},
};

export const layerSamplingDefaults = /* @__PURE__ */ defaultsOf(layerSamplingOptions);

/**
 * Fills in defaults; throws an error that names the option, its value and what is allowed. What depends on the model
 * (scores for its blocks, γ against their number) is checked when training begins.
 */
export function resolveLayerSamplingOptions(
  options: LayerSamplingOptions,
): ResolvedLayerSamplingOptions {
  const resolved = resolveOptions(callbackName, layerSamplingOptions, options);
  if (options.scores !== undefined && options.probabilities !== undefined) {
    throw new Error(`${callbackName}: give scores or probabilities, not both`);
  }
  const {blockHistory} = resolved;
  if (blockHistory) resolved.interval = blockHistory.interval;
  return resolved;
}

function checkProbabilities(owner: string, name: string, value: unknown): void {
  const list = Array.isArray(value)
    ? value
    : (value as Partial<SamplingProbabilities> | null)?.probabilities;
  if (Array.isArray(list) && list.length > 0) return;
  throw new Error(
    `${owner}: ${name} must be a non-empty array of numbers, or a result of samplingProbabilities; ` +
      `got ${display(value)}`,
  );
}
