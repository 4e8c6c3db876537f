import type * as tf from '@tensorflow/tfjs-core';
import {kernelChoices} from '../../kernels/install_for_backend';
import {SIDES, type Side} from '../../kernels/kernel_names';
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
} from '../../common/options';

import {updateNames, updateRules, type UpdateName} from './rules';
import {checkLearningRate, type LearningRate} from './schedule';
import {
  checkSelector,
  selectorFromConfig,
  selectorToConfig,
  type VariableSelector,
} from '../../model/variable_selector';
import {
  gradientCheckpointingChoices,
  type GradientCheckpointing,
} from '../../tape/recompute_layers';
import {asSaved} from '../../tfjs/saved_config';

/**
 * Computes the basis P of a gradient: orthonormal columns [m, rank] that span (nearly) its leading left singular vectors.
 *
 * @param gradient [m, n]; the gradient itself for side `left`, its transpose for `right`.
 * @param rank Number of columns, at most min(m, n).
 * @param previous The basis [m, rank] that this one replaces, with columns of length 1; null at the first refresh. The caller
 *   keeps and disposes of it.
 * @param variable Name of the variable.
 * @returns A float32 tensor [m, rank]. The function is called inside a `tidy`, which disposes of all other tensors that it makes.
 *   Any other result, or numbers that are not finite, are an error that names the variable. On a backend that cannot be read
 *   within a step (webgpu, webgl) numbers that are not finite are treated like those of a gradient, by the option `nonFinite`.
 */
export type BasisFunction = (
  gradient: tf.Tensor2D,
  rank: number,
  previous: tf.Tensor2D | null,
  variable: string,
) => tf.Tensor2D;

/** The bases that this library computes, by their names in the option `basis`. */
export const basisNames = ['randomized', 'svd'] as const;

export type BasisName = (typeof basisNames)[number];

/** Options of {@link OwLoreOptimizer}; every one has a default. */
export interface OwLoreOptions {
  /**
   * Step size η: a number ≥ 0, a schedule (`linearDecay`, `cosineDecay`, `warmup`), or a function of the number of steps that have been
   * made. Default 0.001.
   */
  learningRate?: LearningRate;
  /**
   * Groups of variables that learn faster or slower than the others: the learning rate of a group, and with it its weight decay, is
   * `learningRate` times the `factor` of the group. A variable that several groups pick belongs to the first of them. Default `null`.
   */
  learningRates?: readonly LearningRateGroup[] | null;
  /** β₁, how much Adam's first moment (the average of gradients) keeps of itself in a step: at least 0, and below 1 in float32. Default 0.9. */
  beta1?: number;
  /** β₂, the same for the second moment (the average of squared gradients). Default 0.999. */
  beta2?: number;
  /** ε > 0, which is added to the root of the second moment before Adam divides by it. Default 1e-8. */
  epsilon?: number;
  /** Weight decay λ ≥ 0: before a step each weight is multiplied by 1 − ηλ (AdamW). Default 0. */
  weightDecay?: number;
  /**
   * Which variables decay: names of variables or layers, a regular expression, or a function. Default `'auto'`: those with two or more axes,
   * so neither biases nor norms.
   */
  decay?: 'auto' | VariableSelector;
  /**
   * Which matrices are projected: Adam works on their gradients in a low-rank subspace, so that it keeps less. Names of variables or layers,
   * a regular expression, or a function; `false`: none, which is AdamW. Default `'auto'`: the matrices of the sampled blocks; without a
   * {@link LayerSamplingCallback} all matrices except those with `embed` in their name. Whatever is chosen, a matrix is projected only if
   * both its dimensions are above `rank` and its state becomes smaller; otherwise it is updated by AdamW. The kernel of a convolution counts as a
   * matrix [everything else, last axis]; kernels of depthwise convolutions are never projected.
   */
  project?: 'auto' | false | VariableSelector;
  /**
   * How a projected matrix moves. `'galore'`: by Adam's step in the subspace. `'fira'`: also by what of the gradient is outside of the subspace,
   * each row or column of it scaled as Adam scales the part inside (Fira, arXiv 2410.01623). `'apollo'`: by the whole gradient, scaled like that
   * (APOLLO, arXiv 2412.05270). `'apollo-mini'`: by the whole gradient times one factor for the matrix; it is made for rank 1. All but
   * `'galore'` limit how fast the norm of a matrix's step grows, hold the whole gradient until the matrix is moved, and have no fused kernels.
   * Default `'galore'`.
   */
  update?: UpdateName;
  /** Rank r ≥ 1 of the projection: the number of directions that the subspace of a matrix has. Default 128. */
  rank?: number;
  /**
   * Factor α > 0 on the step of a projected matrix: 0.25 in GaLore's code, 1 in OwLore's. Default `'auto'`: the step is as long as Adam's,
   * so that a learning rate for Adam fits. It is √(m/r), where m is the dimension of the matrix that the basis spans. With `update: 'galore'`
   * directions of the basis along which the gradient is strong move further.
   */
  scale?: number | 'auto';
  /** After how many of its own steps a matrix gets a new basis, ≥ 1; steps in which it is frozen do not count. Default 200. */
  refreshInterval?: number;
  /**
   * Which dimension of a matrix the basis P spans. `'left'`: the rows, R = PᵀG, where G is the gradient and R what Adam sees of it. `'right'`: the
   * columns, R = GP. `'paper'`: the smaller dimension, as in GaLore; small models learn more with it. `'auto'`: the larger dimension, as in
   * optax; the state is smaller. Default `'paper'`.
   */
  side?: 'auto' | 'paper' | Side;
  /**
   * How a basis is computed from the gradient. `'randomized'`: by subspace iteration on the device. `'svd'`: by an exact singular value
   * decomposition, on the host except on tensorflow. Or by a function of yours. `update: 'apollo'` and `'apollo-mini'` have random bases in
   * place of the first; there `'svd'` is an error. Default `'randomized'`.
   */
  basis?: 'randomized' | 'svd' | BasisFunction;
  /**
   * What happens to Adam's moments when a matrix gets a new basis. `'keep'`: nothing (GaLore). `'rotate'`: they are turned into the new basis
   * (LDAdam, arXiv 2410.16103). `'reset'`: they start anew. Default `'keep'`.
   */
  moments?: (typeof momentsKinds)[number];
  /**
   * What happens to the state (moments and basis) of a variable that a {@link LayerSamplingCallback} freezes. `'reset'`: it is freed in the
   * next step. `'keep'`: it stays, and takes memory. A variable that has no gradient for another reason, because it is another model's or because
   * you froze it, keeps its state until it is disposed of, as with `tf.train.adam`. Default `'reset'`.
   */
  state?: 'reset' | 'keep';
  /** Largest norm > 0 of all gradients of a step together; if it is larger, all are scaled down by the same factor. `null`: no limit. Default `null`. */
  clipNorm?: number | null;
  /** How many calls (batches) make a step, ≥ 1: their gradients are averaged. Default 1. */
  accumulate?: number;
  /**
   * What happens if a gradient or the loss is NaN or infinite. `'throw'`: an error names it. `'skip'`: the step changes nothing. `'halve'`: the step
   * changes nothing, and the learning rate is half of what it was from then on. `'ignore'`: nothing is checked, so that each variable can
   * be updated as soon as its gradient is there, which takes the least memory. A gradient of finite numbers is finite, even if its squared
   * norm is beyond float32. Default `'throw'`.
   */
  nonFinite?: (typeof nonFiniteActions)[number];
  /**
   * Which parts of the forward pass run again in the backward pass, so that their activations need not be kept meanwhile. `'none'`: nothing.
   * `'blocks'`: the layers with two or more matrices (transformer blocks, recurrent layers, nested models of that size). Default `'auto'`: the
   * same in a model with three or more such layers (the one that runs again is kept as a whole for that time); and, inside a layer that
   * runs again, such layers and the attention of `createLlama` once more, where their inputs are larger than their weights.
   */
  gradientCheckpointing?: GradientCheckpointing;
  /**
   * Whether this library's kernels are used; they replace tfjs's kernels of the same name. Default `'auto'`: those of the current backend (cpu,
   * wasm, webgpu or tensorflow) are registered when the optimizer is made, in a page as soon as they are loaded, and those of a backend that
   * is set later in the next step. `'none'`: none is registered.
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
const momentsKinds = ['keep', 'rotate', 'reset'] as const;

/** The choices of the option `nonFinite`. */
const nonFiniteActions = ['throw', 'skip', 'halve', 'ignore'] as const;

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
        group !== null && typeof group === 'object'
          ? {...group, variables: selectorWithNames(group.variables, nameOf)}
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
