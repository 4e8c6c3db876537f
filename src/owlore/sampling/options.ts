import type {BlockSelector} from '../../model/blocks';
import {checkSelector, type VariableSelector} from '../../model/variable_selector';
import {
  checkChoice,
  defaultsOf,
  display,
  resolveOptions,
  seedRange,
  stepRange,
  type OptionTable,
} from '../../common/options';
import {
  presetNames,
  probabilityDefaults,
  probabilityMethods,
  type PresetName,
  type ProbabilityMethod,
  type SamplingProbabilities,
} from './probabilities';
import {checkHistory, type BlockHistory} from './periods';
import {samplerNames, type SamplerName} from './samplers';
import {checkAwaited, type ScoresInput} from '../scores/scores';

/** Options of {@link LayerSamplingCallback}; every one has a default. */
export interface LayerSamplingOptions {
  /**
   * How much each block matters; a block with a higher score is on more often. A result of `outlierScores` (OwLore) or of another score
   * function, or numbers; `'uniform'`: all alike (LISA); `'decreasing'`: shallow blocks more (LISA-D). Scores of blocks without a trainable
   * weight are left out. Default `'uniform'`.
   */
  scores?: ScoresInput | PresetName;
  /**
   * How often each block is on, in place of `scores`, `gamma`, `method` and `floor`: numbers, or a result of `samplingProbabilities`. The
   * probability of a block without a trainable weight goes to the others, in proportion.
   */
  probabilities?: readonly number[] | SamplingProbabilities;
  /**
   * γ > 0, how many blocks are on at a time, on average. It is at most the number of blocks that can be drawn: those with a trainable weight and a
   * score above 0 (or `floor` > 0). Default `'auto'`: the paper's 5; in a model of fewer than six blocks one less than there are, but at
   * least 1 (a log line says so).
   */
  gamma?: number | 'auto';
  /**
   * What happens where γ times a block's share of the scores is above 1, which is no probability. `'waterfill'`: the block is always on, and the others are on
   * more often, so that there are γ on average. `'clip'`: the block is always on, and the average is below γ. Default `'waterfill'`.
   */
  method?: ProbabilityMethod;
  /**
   * Which part of the probabilities, from 0 to 1, is the same for all blocks, whatever their scores. With 0 a block with a score of 0 is never
   * on, as in the paper. Default 0.
   */
  floor?: number;
  /**
   * Steps of the optimizer in a period, ≥ 1; then the blocks are drawn anew. Default `'auto'`: the paper's 50, or a tenth of the steps of the callback's first
   * `fit` if that is less, but at least 10; 50 where their number is not known, as in a loop of your own. It is chosen once, and saved with the state.
   */
  interval?: number | 'auto';
  /**
   * How the blocks of a period are drawn by their probabilities p. `'exact'`: Σp blocks (rounded up or down at random), each as often as p says.
   * `'bernoulli'`: each block independently of the others, as in the paper, so that their number varies. `'choice'`: γ blocks, one after the other, as in
   * the published code, which does not keep to p. `'permutation'`: γ at a time in random order, whatever the scores (BAdam). Default `'exact'`.
   */
  sampler?: SamplerName;
  /** Which parts of the model are blocks: names of layers, a regular expression, or a function. Default `'auto'`: those that `findBlocks` finds. */
  blocks?: BlockSelector;
  /**
   * Which weights train in every period: names of variables or layers, a regular expression, or a function, whether they are in a block or not;
   * `false`: none. A weight that is in no block and is not picked stays frozen. Default `'auto'`: all that are in no block (embedding, norm, head).
   */
  alwaysOn?: 'auto' | false | VariableSelector;
  /** Seed of the draws, an integer from 0 to 2³² − 1. The same seed gives the same blocks. Default 0. */
  seed?: number;
  /**
   * The `blockHistory` of another callback, which is replayed: nothing is drawn, and its `interval` is used. Blocks without a trainable weight
   * stay off.
   */
  blockHistory?: BlockHistory;
  /** Steps of the optimizer that an earlier run has made, at most 1e9; their draws are skipped. Default 0. */
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
