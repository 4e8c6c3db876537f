/** The methods of fine-tuning that the paper compares. To add one, add an entry to the table here. */

import type * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback} from './owlore/layer_sampling_callback';
import {layerSamplingDefaults, type LayerSamplingOptions} from './owlore/sampling/options';
import type {Lora} from './lora/lora';
import {loraDefaults, type LoraOptions} from './lora/lora_options';
import {provided} from './lora/provided';
import {resolveBlocks} from './model/blocks';
import {checkChoice, checkKnown, definedIn} from './common/options';
import {owloreDefaults, type OwLoreOptions} from './owlore/optimizer/options';
import {OwLoreOptimizer} from './owlore/owlore_optimizer';
import {fittedGamma, scoresOf} from './owlore/sampling/block_probabilities';
import {paperInterval} from './owlore/sampling/periods';
import {samplerNames, samplers} from './owlore/sampling/samplers';
import {sayOnce} from './common/say_once';

/** What a method is made of. */
export interface MethodParts {
  /** Its name in tables. */
  title: string;
  /** Whether the updates of the blocks' matrices are low-rank. */
  lowRank: boolean;
  /** How the blocks are drawn, with the γ of its authors; without `scores` the model's are needed. Null: all blocks train. */
  sampling: (LayerSamplingOptions & {gamma: number}) | null;
  /** Whether only low-rank changes of the matrices train, beside weights that stay as they are. */
  lora?: boolean;
}

/** All methods, by the names under which `paperMethod` and the command line know them. */
export const paperMethods = {
  // The callback's default γ is written out: with a reference to it, bundlers would keep this table where no method is used.
  owlore: {title: 'OwLore', lowRank: true, sampling: {gamma: 5}},
  'owlore-full': {title: 'OwLore (full rank)', lowRank: false, sampling: {gamma: 2}},
  lisa: {title: 'LISA', lowRank: false, sampling: {scores: 'uniform', gamma: 2}},
  'lisa-d': {title: 'LISA-D', lowRank: false, sampling: {scores: 'decreasing', gamma: 2}},
  galore: {title: 'GaLore', lowRank: true, sampling: null},
  // BAdam trains only the blocks of the period.
  badam: {
    title: 'BAdam',
    lowRank: false,
    sampling: {scores: 'uniform', sampler: 'permutation', alwaysOn: false, gamma: 1},
  },
  lora: {title: 'LoRA', lowRank: false, sampling: null, lora: true},
  full: {title: 'Full fine-tuning', lowRank: false, sampling: null},
} as const satisfies Record<string, MethodParts>;

/** Names of the methods; the table at `paperMethod` says what they are. */
export type PaperMethodName = keyof typeof paperMethods;

// Marked as pure, so that a page that uses no method does not load them.
export const paperMethodNames = /* @__PURE__ */ Object.keys(paperMethods) as PaperMethodName[];

/** Options of {@link paperMethod}: those of the optimizer, of the callback, and of `applyLora` for `'lora'`. */
export type PaperMethodOptions = OwLoreOptions & LayerSamplingOptions & LoraOptions;

/** The result of {@link paperMethod}. */
export interface PaperMethod {
  /** For `compile`; the caller disposes of its state. */
  optimizer: OwLoreOptimizer;
  /** For `fit`; null if the method trains all blocks in every step. */
  callback: LayerSamplingCallback | null;
  /** With `'lora'` the adapters that the model has now; otherwise null. */
  lora: Lora | null;
}

/** Whether a method draws the blocks by scores that its user has to compute from the model. */
export function needsScores(sampling: LayerSamplingOptions | null): boolean {
  return sampling !== null && sampling.scores === undefined;
}

/** Whether a method trains what is in no block: embedding, head and last norm. */
export function trainsRest(method: PaperMethodName): boolean {
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  return !lora && sampling?.alwaysOn !== false;
}

const owner = 'paperMethod';

/**
 * Makes the optimizer and the callback of a method that the OwLore paper (Li et al. 2024) compares.
 *
 * | name | blocks that train in a period | update of their matrices |
 * |---|---|---|
 * | `'owlore'` | 5, by their outlier scores | low-rank |
 * | `'owlore-full'` | 2, by their outlier scores | AdamW |
 * | `'lisa'` | 2, each as often as any other | AdamW |
 * | `'lisa-d'` | 2, shallow ones more often | AdamW |
 * | `'galore'` | all | low-rank |
 * | `'badam'` | 1, in random order, and nothing else | AdamW |
 * | `'lora'` | none; beside each matrix of the blocks a low-rank product | AdamW |
 * | `'full'` | all | AdamW |
 *
 * ```ts
 * const {optimizer, callback} = paperMethod('lisa', model, {learningRate: 1e-4, interval: 20});
 * model.compile({optimizer, loss});
 * await model.fit(x, y, {callbacks: callback ? [callback] : []});
 * ```
 *
 * The number of blocks is that of the method's authors; in a model that has no room for it, one less than there are, but at least
 * 1. The interval is the paper's 50. All other options have the defaults of {@link OwLoreOptimizer} and {@link LayerSamplingCallback}.
 *
 * `'lora'` calls `applyLora`, which a page has to load first: `import 'tfjs-owlore/lora'`. Its rank is 8 by default.
 *
 * @param overrides Options of the optimizer and of the callback that replace those of the method. `'owlore'` and `'owlore-full'`
 *   take the `scores` that `outlierScores` computed, or the `probabilities` or the `blockHistory` of an earlier run. `'lora'` takes
 *   the options of `applyLora`: `rank`, `alpha`, `dropout`, `targets` and `seed`.
 * @throws Error that names the option if it does not exist, is out of its range, belongs to the callback or to LoRA where the
 *   method has none, or if scores are missing. The model is then unchanged.
 */
export function paperMethod(
  name: PaperMethodName,
  model: tfl.LayersModel,
  overrides: PaperMethodOptions = {},
): PaperMethod {
  checkChoice(owner, 'name', name, paperMethodNames);
  checkKnown(owner, overrides, [...optimizerOptions, ...callbackOptions, ...loraOptions]);
  return makeMethod(name, paperMethods[name], model, definedIn(overrides));
}

function makeMethod(
  name: string,
  {lowRank, sampling, lora: isLora = false}: MethodParts,
  model: tfl.LayersModel,
  overrides: PaperMethodOptions,
): PaperMethod {
  const adapterOptions = isLora ? optionsOf(overrides, loraOptions) : {};
  const others = Object.fromEntries(
    Object.entries(overrides).filter(([option]) => !Object.hasOwn(adapterOptions, option)),
  );
  const project = lowRank ? 'auto' : false;
  const optimizer = new OwLoreOptimizer({project, ...optionsOf(others, optimizerOptions)});
  const given = optionsOf(others, callbackOptions);
  const [unused] = Object.keys(given);
  if (!sampling && unused !== undefined) {
    throw new Error(
      `${owner}: ${unused} has no meaning with '${name}', which trains ${isLora ? 'no block' : 'all blocks in every step'}; leave it out`,
    );
  }
  const [only] = Object.keys(others).filter((option) => !isKnownElsewhere(option));
  if (only !== undefined) {
    throw new Error(
      `${owner}: ${only} has no meaning with '${name}', but with 'lora'; leave it out`,
    );
  }
  const callback = sampling && new LayerSamplingCallback(samplingOf(name, sampling, model, given));
  return {optimizer, callback, lora: isLora ? withLora(model, adapterOptions) : null};
}

function withLora(model: tfl.LayersModel, options: LoraOptions): Lora {
  if (provided.applyLora) return provided.applyLora(model, options);
  throw new Error(`${owner}: 'lora' is a part that a page loads itself: import 'tfjs-owlore/lora'`);
}

/** The callback's options: those of the method, with the γ that fits the model, and those given. */
function samplingOf(
  name: string,
  {gamma, ...preset}: LayerSamplingOptions & {gamma: number},
  model: tfl.LayersModel,
  given: LayerSamplingOptions,
): LayerSamplingOptions {
  // Either of the first two replaces scores.
  const {probabilities, blockHistory, scores} = given;
  if (probabilities !== undefined || blockHistory !== undefined) {
    return {...preset, interval: paperInterval, scores: undefined, ...given};
  }
  const {sampler, floor} = {...layerSamplingDefaults, ...preset, ...given};
  checkChoice(owner, 'sampler', sampler, samplerNames);
  const {usesScores} = samplers[sampler];
  if (usesScores && needsScores(preset) && scores === undefined) {
    throw new Error(
      `${owner}: '${name}' draws the blocks by their scores, which are missing: pass scores: await outlierScores(model, batches)`,
    );
  }
  const blocks = resolveBlocks(model, given.blocks);
  const all = blocks.map(({name}) => name);
  const candidates = blocks
    .filter(({weights}) => weights.some(({trainable}) => trainable))
    .map(({name}) => name);
  const isScored = usesScores && typeof scores === 'object' && floor === 0;
  const scored = isScored
    ? scoresOf(owner, scores, {all, candidates}).filter((score) => score > 0)
    : candidates;
  const drawable = scored.length;
  // Where nothing can be drawn, the callback reports what is wrong.
  const fitted = drawable === 0 ? gamma : fittedGamma(gamma, candidates.length, drawable);
  if (given.gamma === undefined && fitted !== gamma) {
    sayOnce(
      'info',
      `${owner}: gamma ${gamma} → ${fitted}: ${drawable} of ${blocks.length} blocks can be drawn`,
    );
  }
  return {...preset, interval: paperInterval, gamma: fitted, ...given};
}

const optimizerOptions = /* @__PURE__ */ Object.keys(owloreDefaults);
const callbackOptions = /* @__PURE__ */ Object.keys(layerSamplingDefaults);
const loraOptions = /* @__PURE__ */ Object.keys(loraDefaults);

/** Whether an option is one of the optimizer or of the callback. */
function isKnownElsewhere(option: string): boolean {
  return optimizerOptions.includes(option) || callbackOptions.includes(option);
}

/** The options that have one of the given names. */
function optionsOf(options: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)));
}
