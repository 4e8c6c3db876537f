import {checkChoice, checkFlag, checkKnown, checkNumber, definedIn, display} from './options';
import type {BasisFunction} from './optim/basis';
import type {Side} from './optim/projector';
import {checkLearningRate, type LearningRate} from './optim/schedule';
import {
  checkSelector,
  selectorFromConfig,
  selectorToConfig,
  type VariableSelector,
} from './model/variable_selector';
import {layerRecomputations, type RecomputedLayers} from './tape/recompute_layers';
import {asSaved} from './tfjs/saved_config';

/** Options of {@link OwLoreOptimizer}; every one has a default. */
export interface OwLoreOptions {
  /** Step size η, ≥ 0: a number, a schedule of the global step, or a function of it. Default 0.001. */
  learningRate?: LearningRate;
  /** Decay rate of the first moment, 0 ≤ β₁ < 1. Default 0.9. */
  beta1?: number;
  /** Decay rate of the second moment, 0 ≤ β₂ < 1. Default 0.999. */
  beta2?: number;
  /** Term ε > 0 in the denominator √v̂ + ε. Default 1e-8. */
  epsilon?: number;
  /** Decoupled weight decay λ ≥ 0 in the full space: w ← w(1 − ηλ) before the step (AdamW). Default 0. */
  weightDecay?: number;
  /** Which variables decay. Default `'auto'`: those of two or more axes, so no biases and no norms. */
  decay?: 'auto' | VariableSelector;
  /**
   * Which variables are projected. Default `'auto'`: the matrices of the sampled blocks; without a
   * {@link LayerSamplingCallback} all matrices but those with `embed` in their name. `false`: none, which is AdamW.
   * Of these a matrix is projected where both its dimensions are above `rank` and that makes its state smaller, and is
   * updated by AdamW otherwise. Kernels of convolutions count as matrices [everything else, last axis]; those of depthwise
   * ones are never projected.
   */
  project?: 'auto' | false | VariableSelector;
  /** Rank r ≥ 1 of the projection, of matrices that have more rows and more columns than that. Default 128. */
  rank?: number;
  /**
   * Factor α > 0 on the projected step, 0.25 in GaLore's code, 1 in OwLore's. `'auto'`: so that the step is as long as Adam's and a
   * rate for Adam fits: √(m/r), where m is the dimension of the matrix that the basis spans, times max(1, σ/σ_rms) for a direction
   * in which the gradient, when the basis is made, has the length σ, in all r directions σ_rms on average (root mean square).
   * Default `'auto'`.
   */
  scale?: number | 'auto';
  /** A matrix's own steps between refreshes of its basis, ≥ 1. Default 200. */
  refreshInterval?: number;
  /**
   * Whether the first basis of each matrix lives for another part of `refreshInterval`, so that matrices that start together
   * are not refreshed in the same step, which would take longer than others. Default false, as in GaLore.
   */
  stagger?: boolean;
  /**
   * Which dimension of a matrix the basis spans. `'paper'`: the smaller one, as in GaLore, with which small models learn more;
   * `'auto'`: the one that makes the state smaller, the larger one, as in optax; `'left'`: R = PᵀG; `'right'`: R = GP.
   * Default `'paper'`.
   */
  side?: 'auto' | 'paper' | Side;
  /** How a basis is found: on the device, by an exact SVD on the host, or by a function. Default `'randomized'`. */
  basis?: 'randomized' | 'svd' | BasisFunction;
  /** What a refresh does to the moments: keep (GaLore), rotate into the new basis, or start anew. Default `'keep'`. */
  moments?: 'keep' | 'rotate' | 'reset';
  /** What happens to the state of a variable that a step brings no gradient for. Default `'reset'`: freed at once. */
  state?: 'reset' | 'keep';
  /** Largest global norm > 0 of the gradients of one step; null: no clipping. Default null. */
  clipNorm?: number | null;
  /** Calls whose gradients are averaged into one step, ≥ 1. Default 1. */
  accumulate?: number;
  /**
   * What a NaN or infinite gradient does: an error, or a step that changes nothing. `'ignore'` does not look, and so can
   * update each variable the moment its gradient is there, which takes the least memory. Default `'throw'`.
   */
  nonFinite?: 'throw' | 'skip' | 'ignore';
  /**
   * Which parts of the forward pass run again in the backward pass in place of being remembered. `'blocks'`: the layers of
   * two or more matrices (transformer blocks, recurrent layers, nested models of such size). `'auto'`: also, in a block that
   * runs again, such layers inside of it and the attention of `createLlama`, where their inputs outweigh their weights (long
   * sequences, large batches); `'none'`. Default `'auto'`.
   */
  checkpoint?: RecomputedLayers;
  /**
   * `'auto'`: the first step registers this library's kernels for the current backend (cpu, wasm, webgpu or tensorflow), in the place of
   * tfjs's own where they are of the same name. `'none'`: registers none. Default `'auto'`.
   */
  kernels?: 'auto' | 'none';
}

/** Options with every default filled in. */
export type ResolvedOwLoreOptions = Required<OwLoreOptions>;

export const owloreDefaults: Readonly<ResolvedOwLoreOptions> = {
  learningRate: 0.001,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  decay: 'auto',
  project: 'auto',
  rank: 128,
  scale: 'auto',
  refreshInterval: 200,
  stagger: false,
  side: 'paper',
  basis: 'randomized',
  moments: 'keep',
  state: 'reset',
  clipNorm: null,
  accumulate: 1,
  nonFinite: 'throw',
  checkpoint: 'auto',
  kernels: 'auto',
};

const owner = 'OwLoreOptimizer';

/** Fills in defaults; throws an error that names the option, its value and what is allowed. */
export function resolveOwLoreOptions(options: OwLoreOptions): ResolvedOwLoreOptions {
  checkKnown(owner, options, Object.keys(owloreDefaults));
  const resolved: ResolvedOwLoreOptions = {...owloreDefaults, ...definedIn(options)};
  checkLearningRate(owner, resolved.learningRate);
  checkNumber(owner, 'beta1', resolved.beta1, {min: 0, exclusiveMax: 1});
  checkNumber(owner, 'beta2', resolved.beta2, {min: 0, exclusiveMax: 1});
  checkNumber(owner, 'epsilon', resolved.epsilon, {exclusiveMin: 0});
  checkNumber(owner, 'weightDecay', resolved.weightDecay, {min: 0});
  if (resolved.decay !== 'auto') checkSelector(owner, 'decay', resolved.decay, `'auto'`);
  if (resolved.project !== 'auto' && resolved.project !== false) {
    checkSelector(owner, 'project', resolved.project, `'auto', false`);
  }
  checkNumber(owner, 'rank', resolved.rank, {min: 1, integer: true});
  if (resolved.scale !== 'auto') checkNumber(owner, 'scale', resolved.scale, {exclusiveMin: 0});
  checkNumber(owner, 'refreshInterval', resolved.refreshInterval, {min: 1, integer: true});
  checkFlag(owner, 'stagger', resolved.stagger);
  checkChoice(owner, 'side', resolved.side, ['auto', 'paper', 'left', 'right']);
  if (typeof resolved.basis !== 'function') {
    checkChoice(owner, 'basis', resolved.basis, ['randomized', 'svd']);
  }
  checkChoice(owner, 'moments', resolved.moments, ['keep', 'rotate', 'reset']);
  checkChoice(owner, 'state', resolved.state, ['reset', 'keep']);
  if (resolved.clipNorm !== null) {
    checkNumber(owner, 'clipNorm', resolved.clipNorm, {exclusiveMin: 0});
  }
  checkNumber(owner, 'accumulate', resolved.accumulate, {min: 1, integer: true});
  checkChoice(owner, 'nonFinite', resolved.nonFinite, ['throw', 'skip', 'ignore']);
  checkChoice(owner, 'checkpoint', resolved.checkpoint, layerRecomputations);
  checkChoice(owner, 'kernels', resolved.kernels, ['auto', 'none']);
  return resolved;
}

/** The options as JSON for a saved model. Throws for options that are functions: they cannot be saved. */
export function owloreOptionsToConfig(options: ResolvedOwLoreOptions): Record<string, unknown> {
  for (const name of ['learningRate', 'basis'] as const) {
    if (typeof options[name] === 'function') {
      throw new Error(
        `${owner}: ${name} is ${display(options[name])}, which cannot be saved; use ` +
          `${name === 'basis' ? "'randomized' or 'svd'" : 'linearDecay, cosineDecay or warmup'}, or save the model ` +
          'without includeOptimizer',
      );
    }
  }
  const {project, decay} = options;
  return {
    ...options,
    project:
      project === 'auto' || project === false
        ? project
        : selectorToConfig(owner, 'project', project),
    decay: decay === 'auto' ? decay : selectorToConfig(owner, 'decay', decay),
  };
}

/** The reverse of {@link owloreOptionsToConfig}. */
export function owloreOptionsFromConfig(config: Record<string, unknown>): OwLoreOptions {
  const options = asSaved(config);
  const {project, decay} = options;
  return {
    ...options,
    project: project === 'auto' || project === false ? project : selectorFromConfig(project),
    decay: decay === 'auto' ? decay : selectorFromConfig(decay),
  };
}
