import {kernelChoices} from '../kernels/install_for_backend';
import {SIDES, type Side} from '../kernels/kernel_names';
import {
  checkChoice,
  checkKnown,
  checkNumber,
  defaultsOf,
  display,
  mapOptions,
  resolveOptions,
  type OptionEntry,
  type OptionTable,
} from '../options';
import {basisNames, type BasisFunction} from './basis_function';
import {updateNames, updateRules, type UpdateName} from './rules';
import {checkLearningRate, type LearningRate} from './schedule';
import {
  checkSelector,
  selectorFromConfig,
  selectorToConfig,
  type VariableSelector,
} from '../model/variable_selector';
import {gradientCheckpointingChoices, type GradientCheckpointing} from '../tape/recompute_layers';
import {asSaved} from '../tfjs/saved_config';

/** Options of {@link OwLoreOptimizer}; every one has a default. */
export interface OwLoreOptions {
  /** Step size η, ≥ 0: a number, a schedule of the global step, or a function of it. Default 0.001. */
  learningRate?: LearningRate;
  /**
   * Groups of variables that learn faster or slower than the rest: in a group, the learning rate of each step, and with it the
   * weight decay, is multiplied by the group's `factor`. The first group that picks a variable counts; null: there are none.
   * Default null.
   */
  learningRates?: readonly LearningRateGroup[] | null;
  /** Decay rate of the first moment, 0 ≤ β₁ < 1 in float32. Default 0.9. */
  beta1?: number;
  /** Decay rate of the second moment, 0 ≤ β₂ < 1 in float32. Default 0.999. */
  beta2?: number;
  /** Term ε > 0 in the denominator √v̂ + ε. Default 1e-8. */
  epsilon?: number;
  /** Decoupled weight decay λ ≥ 0 in the full space: w ← w(1 − ηλ) before the step (AdamW). Default 0. */
  weightDecay?: number;
  /** Which variables decay. Default `'auto'`: those with two or more axes, so neither biases nor norms. */
  decay?: 'auto' | VariableSelector;
  /**
   * Which variables are projected. Default `'auto'`: the matrices of the sampled blocks; without a
   * {@link LayerSamplingCallback} all matrices except those with `embed` in their name. `false`: none, which is AdamW.
   * A chosen matrix is projected only if both its dimensions are above `rank` and its state becomes smaller; otherwise it is
   * updated by AdamW. Kernels of convolutions count as matrices [everything else, last axis]; kernels of depthwise convolutions
   * are never projected.
   */
  project?: 'auto' | false | VariableSelector;
  /**
   * How a projected matrix is moved. `'galore'`: by Adam's step in the subspace. `'fira'`: by that and by what of the gradient is
   * outside of it, each row or column scaled as Adam scales the part inside (Fira, arXiv 2410.01623). `'apollo'`: by the gradient
   * itself, scaled so (APOLLO, arXiv 2412.05270); `'apollo-mini'`: by one factor for the whole matrix, for rank 1. All but the first limit how fast the norm of each matrix's scaled part grows, to 1.01 a step; they hold its whole
   * gradient until it is moved, and are made of plain ops. Default `'galore'`.
   */
  update?: UpdateName;
  /** Rank r ≥ 1 of the projection; only matrices with more than r rows and more than r columns are projected. Default 128. */
  rank?: number;
  /**
   * Factor α > 0 on the projected step; 0.25 in GaLore's code, 1 in OwLore's. `'auto'` makes the step as long as Adam's, so that
   * a learning rate for Adam fits: √(m/r), where m is the dimension of the matrix that the basis spans, times max(1, σ/σ_rms) in
   * each direction of the basis. σ is the length of the gradient along that direction when the basis is made, σ_rms the root mean
   * square of σ over all r directions. The second factor is there with `update: 'galore'` alone. Default `'auto'`.
   */
  scale?: number | 'auto';
  /** Steps of a matrix between refreshes of its basis, ≥ 1; steps in which it is frozen do not count. Default 200. */
  refreshInterval?: number;
  /**
   * Which dimension of a matrix the basis spans. `'paper'`: the smaller one, as in GaLore; small models learn more with it.
   * `'auto'`: the one that makes the state smaller, which is the larger dimension, as in optax. `'left'`: the rows, R = PᵀG;
   * `'right'`: the columns, R = GP. Default `'paper'`.
   */
  side?: 'auto' | 'paper' | Side;
  /**
   * How a basis is computed. `'randomized'`: by subspace iteration on the device; `'svd'`: by an exact SVD (on the host except on
   * tensorflow); or by a function. The updates `'apollo'` and `'apollo-mini'` have random bases in place of these two. Default `'randomized'`.
   */
  basis?: 'randomized' | 'svd' | BasisFunction;
  /** What a refresh does to the moments: keep (GaLore), rotate into the new basis (LDAdam, arXiv 2410.16103), or start anew. Default `'keep'`. */
  moments?: (typeof momentsKinds)[number];
  /**
   * What happens to the state of a variable that a {@link LayerSamplingCallback} freezes. `'reset'`: it is freed in the next step;
   * `'keep'`: it stays. Any other variable without a gradient in a step (another model's, or one that you froze) keeps its state as it is, as with
   * `tf.train.adam`; when the variable is disposed of, its state is freed in the next step, or when the state is saved. Default `'reset'`.
   */
  state?: 'reset' | 'keep';
  /** Largest global norm > 0 of the gradients of one step; null: no clipping. Default null. */
  clipNorm?: number | null;
  /**
   * By how much the global norm of the gradients may grow from one step to the next, > 1: it is scaled down to at most this factor
   * times the norm, as scaled, of the step before. It starts anew when other variables are trained, after a norm of 0, and with a
   * new optimizer; a step that was skipped does not count. Fira and APOLLO use 1.01, for each matrix alone. null: no limit.
   * Default null.
   */
  normGrowth?: number | null;
  /** Calls whose gradients are averaged into one step, ≥ 1. Default 1. */
  accumulate?: number;
  /**
   * What a NaN or infinite gradient or loss does. (A gradient of finite numbers whose squared norm is beyond float32 is finite: the step's
   * gradients are scaled down to a global norm of 2⁶⁰, which Adam's second moments can hold.) `'throw'`: an error; `'skip'`: the step changes nothing; `'halve'`: neither, and
   * from then on the learning rate is half of what it was; `'ignore'`: no check, so that each variable can be updated as soon as
   * its gradient is there, which takes the least memory. Default `'throw'`.
   */
  nonFinite?: (typeof nonFiniteActions)[number];
  /**
   * Which parts of the forward pass run again in the backward pass, so that their activations need not be held. `'blocks'`: the
   * layers with two or more matrices (transformer blocks, recurrent layers, nested models of that size). `'auto'`: these in a
   * model that has three or more of them, since one that runs again is held as a whole meanwhile; also, inside a block that runs
   * again, such layers and the attention of `createLlama`, where their inputs are larger than their weights (long sequences, large
   * batches). `'none'`: nothing. Default `'auto'`.
   */
  gradientCheckpointing?: GradientCheckpointing;
  /**
   * `'auto'`: making the optimizer registers this library's kernels for the current backend (cpu, wasm, webgpu or tensorflow), in a
   * page once they are loaded, and a step those for a backend that was set since; they replace tfjs's kernels of the same name.
   * `'none'`: registers none. Default `'auto'`.
   */
  kernels?: 'auto' | 'none';
}

/** Variables with a learning rate of their own. */
export interface LearningRateGroup {
  /** Which variables. */
  variables: VariableSelector;
  /** Their learning rate, ≥ 0, as a multiple of `learningRate`; at 0 they stay as they are. */
  factor: number;
}

/** Options with every default filled in. */
export type ResolvedOwLoreOptions = Required<OwLoreOptions>;

/** The choices of the option `moments`. */
export const momentsKinds = ['keep', 'rotate', 'reset'] as const;

/** The choices of the option `nonFinite`. */
export const nonFiniteActions = ['throw', 'skip', 'halve', 'ignore'] as const;

const owner = 'OwLoreOptimizer';
/** Up to the last number below 1 that float32 has. */
const decayRate = {min: 0, max: 1 - 2 ** -24};
const positive = {exclusiveMin: 0};
const count = {min: 1, integer: true};

/** Everything about an option but its type and its meaning, which {@link OwLoreOptions} says: to add one, add it there and here. */
export const owloreOptions: OptionTable<ResolvedOwLoreOptions> = {
  learningRate: {
    default: 0.001,
    check: (owner, _, value) => checkLearningRate(owner, value),
    toConfig: notFunction('linearDecay, cosineDecay or warmup'),
    // the checkpoint has it
    mayDiffer: true,
  },
  learningRates: {
    default: null,
    check: checkGroups,
    toConfig: (name, groups) =>
      groups?.map((group) => ({
        ...group,
        variables: selectorToConfig(owner, name, group.variables),
      })) ?? null,
    fromConfig: (groups) =>
      (groups as LearningRateGroup[] | null)?.map((group) => ({
        ...group,
        variables: selectorFromConfig(group.variables),
      })) ?? null,
    withNames(groups, nameOf) {
      if (!Array.isArray(groups)) return groups;
      return (groups as Array<Partial<LearningRateGroup> | null>).map((group) =>
        typeof group === 'object'
          ? {...group, variables: selectorWithNames(group?.variables, nameOf)}
          : group,
      );
    },
  },
  beta1: {default: 0.9, check: decayRate},
  beta2: {default: 0.999, check: decayRate},
  epsilon: {default: 1e-8, check: positive},
  weightDecay: {default: 0, check: {min: 0}},
  decay: selectorOr('auto'),
  project: selectorOr<'auto' | false>('auto', false),
  update: {default: 'galore', check: updateNames},
  rank: {
    default: 128,
    check: count,
    // what was the default was not asked for
    fromConfig: (value) => (value === 128 ? undefined : (value as number)),
  },
  scale: {default: 'auto', check: positive},
  refreshInterval: {default: 200, check: count},
  side: {default: 'paper', check: ['auto', 'paper', ...SIDES]},
  basis: {
    default: 'randomized',
    check(owner, name, value) {
      if (typeof value !== 'function') checkChoice(owner, name, value, basisNames);
    },
    toConfig: notFunction("'randomized' or 'svd'"),
  },
  moments: {default: 'keep', check: momentsKinds},
  state: {default: 'reset', check: ['reset', 'keep']},
  clipNorm: {default: null, check: positive},
  normGrowth: {default: null, check: {exclusiveMin: 1}},
  accumulate: {default: 1, check: count},
  nonFinite: {default: 'throw', check: nonFiniteActions},
  gradientCheckpointing: {default: 'auto', check: gradientCheckpointingChoices},
  kernels: {default: 'auto', check: kernelChoices},
};

export const owloreDefaults: Readonly<ResolvedOwLoreOptions> =
  /* @__PURE__ */ defaultsOf(owloreOptions);

/** Fills in defaults; throws an error that names the option, its value and what is allowed. */
export function resolveOwLoreOptions(options: OwLoreOptions): ResolvedOwLoreOptions {
  const given: unknown = options;
  if (typeof given === 'number') {
    throw new Error(
      `${owner}: options must be a plain object, such as {learningRate: ${given}}; got ${given}`,
    );
  }
  const resolved = resolveOptions(owner, owloreOptions, options);
  const {update, basis} = resolved;
  if (updateRules[update].basis && basis === 'svd') {
    throw new Error(
      `${owner}: basis 'svd' has no meaning with update '${update}', which makes bases of its own`,
    );
  }
  return resolved;
}

/** The options as JSON for a saved model. Throws for options that are functions: they cannot be saved. */
export function owloreOptionsToConfig(options: ResolvedOwLoreOptions): Record<string, unknown> {
  return mapOptions(owloreOptions, options, ({toConfig}, name, value) =>
    toConfig ? toConfig(name, value) : value,
  );
}

/** The reverse of {@link owloreOptionsToConfig}. */
export function owloreOptionsFromConfig(config: Record<string, unknown>): OwLoreOptions {
  return mapOptions(owloreOptions, asSaved(config), ({fromConfig}, _, value) =>
    fromConfig ? fromConfig(value) : value,
  );
}

/** An option that picks variables, or is one of some other values, of which the first is the default. */
function selectorOr<Other extends 'auto' | false>(
  ...others: [Other, ...Other[]]
): OptionEntry<Other | VariableSelector> {
  const isOther = (value: unknown): value is Other => (others as unknown[]).includes(value);
  return {
    default: others[0],
    check(owner, name, value) {
      if (!isOther(value)) checkSelector(owner, name, value, others.map(display).join(', '));
    },
    toConfig: (name, value) =>
      isOther(value) ? value : selectorToConfig(owner, name, value as VariableSelector),
    fromConfig: (value) => (isOther(value) ? value : selectorFromConfig(value)),
    withNames: selectorWithNames,
  };
}

function selectorWithNames(value: unknown, nameOf: (name: string) => string): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((entry: unknown) => (typeof entry === 'string' ? nameOf(entry) : entry));
}

/** @param ways What can be saved in the place of a function. */
function notFunction<T>(ways: string): (name: string, value: T) => T {
  return (name, value) => {
    if (typeof value !== 'function') return value;
    throw new Error(
      `${owner}: ${name} is ${display(value)}, which cannot be saved; use ${ways}, or save the model without includeOptimizer`,
    );
  };
}

function checkGroups(owner: string, name: string, groups: unknown): void {
  if (!Array.isArray(groups)) {
    throw new Error(
      `${owner}: ${name} must be null or an array of {variables, factor}; got ${display(groups)}`,
    );
  }
  groups.forEach((group: Partial<LearningRateGroup>, i) => {
    checkKnown(`${owner}: ${name}[${i}]`, group, ['variables', 'factor']);
    checkSelector(owner, `${name}[${i}].variables`, group.variables);
    checkNumber(owner, `${name}[${i}].factor`, group.factor, {min: 0});
  });
}
