import * as tf from '@tensorflow/tfjs-core';
import {readsSynchronously} from '../kernels/capabilities';
import {OnDemand, onlyInNode, variants} from '../on_demand';
import {selects} from '../model/variable_selector';
import {isTermGradient, tidyWith} from '../tfjs/term_gradient';
import type {ResolvedOwLoreOptions} from './owlore_options';
import {termSteps} from './term_steps';
import {LOSS, squaredNorm, type FiniteCheck} from './finite_check';
import {limitsNorm, type NormLimit} from './norm_limit';
import type {Projections} from './projector';
import {clocksOf, type StateStore} from './state';
import {
  applyUpdates,
  isRefreshDue,
  projectGradient,
  type StepSettings,
  type Update,
} from './update';

/** For new bases on tensorflow; provided only in Node. */
export const refreshes = new OnDemand<typeof import('./refreshes')>(onlyInNode);

/**
 * Called with the gradient of a variable, which it has to dispose of. With `isProjected` the gradient is already R, in the
 * subspace of the state's basis.
 */
export type OnGradient = (
  variable: tf.Variable,
  gradient: tf.Tensor,
  options?: {isProjected: boolean},
) => void;

/**
 * One step of all variables: their gradients are projected one by one, in any order, then checked together, then applied.
 * Nothing is changed before {@link apply}, which takes all gradients that were projected since its last call.
 */
export class Step {
  /** Names of the variables that brought a gradient. */
  readonly variables = new Set<string>();
  private readonly waiting: Update[] = [];
  /** ‖G‖² of each variable, or ‖R‖² where that is enough. */
  private readonly gradientNorms = new Map<string, tf.Scalar>();
  /** What else is to be checked, by its description: the loss, and ‖P‖² of each new basis that could not be read yet. */
  private readonly otherNumbers = new Map<string, tf.Scalar>();
  /** Bases that this step has made for variables that had none. */
  private firstBases = 0;

  /** @param settings `clip` and `allFinite` are set by {@link check}. */
  constructor(
    private readonly settings: StepSettings,
    private readonly states: StateStore,
    private readonly projections: Projections,
    private readonly finiteCheck: FiniteCheck,
    private readonly normLimit: NormLimit,
  ) {}

  /** Whether the gradients have to be checked together, so that each has to wait for the others. */
  get needsCheck(): boolean {
    const {options} = this.settings;
    return limitsNorm(options) || options.nonFinite !== 'ignore';
  }

  /** Takes the gradient of a variable, projects it, and frees it if it is not needed any more. */
  project(variable: tf.Variable, gradient: tf.Tensor, {isProjected = false} = {}): void {
    const {options} = this.settings;
    const {name} = variable;
    this.variables.add(name);
    const state = this.states.of(name);
    const projection = this.projections.of(variable);
    const given: Update = {
      ...{variable, projection, state, gradient, newBasis: null, basisAge: 0, turning: null},
      // Without it, a sum that was begun projected, under other options, moves the matrix in the subspace alone.
      whole: projection && !isProjected && options.update !== 'galore' ? gradient : null,
      weightDecay: weightDecayOf(variable, options),
      rateFactor: rateFactorOf(variable, options),
    };
    tidyWith(gradient, () => {
      // ‖R‖ would be cheaper, and R is finite if the gradient is. But an infinite gradient may make a new basis and R NaN, and
      // the error should name the gradient's value.
      const isAsked = this.settings.onGradients !== undefined;
      const isWhole = isAsked || limitsNorm(options) || isProjected || isRefreshDue(state, options);
      const waits =
        !isProjected && refreshes.loaded?.joins(given, this.waiting, options, this.keep);
      const update = isProjected || waits ? given : this.projected(given, isWhole);
      if (isProjected || waits || !isWhole) this.measure(name, () => squaredNorm(update.gradient));
      this.keep(update, gradient);
    });
  }

  /** Keeps an update until it is applied; the variable's gradient is freed if it is not needed any more. */
  private readonly keep = (update: Update, gradient: tf.Tensor): void => {
    const {options} = this.settings;
    const {newBasis, state} = update;
    if (newBasis) {
      if (!state.basis) update.basisAge = this.nextAge();
      else if (options.refreshSimilarity !== null)
        update.turning = variants.loaded!.turned(state, newBasis, options);
      // This library's bases are finite if the gradient is; a user's basis was already checked where it could be read.
      if (typeof options.basis === 'function' && !readsSynchronously())
        this.alsoCheck(`basis of '${update.variable.name}'`, () => squaredNorm(newBasis));
      tf.keep(newBasis);
    }
    if (update.whole) tf.keep(update.whole);
    if (update.gradient !== gradient && update.whole !== gradient) gradient.dispose();
    tf.keep(update.gradient);
    this.waiting.push(update);
  };

  /** Takes the loss of the step, or the sum of its calls' losses; it stays the caller's. */
  takeLoss(loss: tf.Scalar): void {
    this.alsoCheck(LOSS, () => tf.cast(loss, 'float32'));
  }

  /**
   * Looks for numbers that are not finite, and finds the factor that limits the norm.
   *
   * @returns false if the step is to be skipped.
   * @throws Error as {@link FiniteCheck.checkFinite} does.
   */
  check(): boolean {
    const {gradientNorms, otherNumbers} = this;
    if (gradientNorms.size === 0) return true;
    const variables = [...gradientNorms.keys()];
    const norms = [...gradientNorms.values()];
    const squared = tf.stack(norms) as tf.Tensor1D;
    const all = tf.stack([...norms, ...otherNumbers.values()]);
    const names = [...variables.map((name) => `gradient of '${name}'`), ...otherNumbers.keys()];
    this.normLimit.startFor(variables);
    const clocks = clocksOf(this.waiting.map(({state}) => state));
    const allFinite = this.finiteCheck.checkFinite(names, all as tf.Tensor1D, clocks);
    this.settings.onGradients?.(variables, squared);
    if (allFinite === false) return false;
    const onDevice = allFinite === true ? null : allFinite;
    this.settings.allFinite = onDevice;
    this.settings.clip = this.normLimit.factor(squared, onDevice);
    return true;
  }

  /** Moves the weights and states of all variables whose gradients wait. */
  apply(): void {
    refreshes.loaded?.finish(this.waiting, this.settings.options, this.keep);
    applyUpdates(this.waiting, this.settings);
    this.normLimit.advance();
    this.dispose();
  }

  /** Frees the waiting gradients, and new bases that have not become the state's. */
  dispose(): void {
    for (const {state, gradient, whole, newBasis} of this.waiting.splice(0)) {
      gradient.dispose();
      whole?.dispose();
      if (state.basis !== newBasis) newBasis?.dispose();
    }
    for (const numbers of [this.gradientNorms, this.otherNumbers]) {
      tf.dispose([...numbers.values()]);
      numbers.clear();
    }
  }

  /** @param isMeasured Whether the norm of the whole gradient is noted. */
  private projected(given: Update, isMeasured: boolean): Update {
    const {gradient, variable} = given;
    if (isTermGradient(gradient)) {
      const isWanted = isMeasured && this.needsCheck;
      const result = termSteps.projectTerms(given, gradient, this.settings, isWanted);
      if (isWanted) this.measure(variable.name, () => result.squaredNorm!);
      return result.update;
    }
    if (isMeasured) this.measure(variable.name, () => squaredNorm(gradient));
    return projectGradient(given, this.settings);
  }

  private measure(name: string, compute: () => tf.Scalar): void {
    if (this.needsCheck) this.gradientNorms.set(name, tf.keep(compute()));
  }

  private alsoCheck(description: string, compute: () => tf.Scalar): void {
    if (this.settings.options.nonFinite === 'ignore') return;
    this.otherNumbers.set(description, tf.keep(compute()));
  }

  /**
   * The age at which the next first basis starts. With `stagger` it is between 0 and the refresh interval: multiples of the
   * golden ratio divide the interval evenly, however many bases there will be.
   */
  private nextAge(): number {
    const {stagger, refreshInterval} = this.settings.options;
    if (!stagger) return 0;
    const part = (this.firstBases++ * GOLDEN_RATIO) % 1;
    return Math.floor(part * refreshInterval);
  }
}

const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2;

/** λ of a variable; 0 if it does not decay. */
function weightDecayOf(variable: tf.Variable, {decay, weightDecay}: ResolvedOwLoreOptions): number {
  const decays = decay === 'auto' ? variable.rank >= 2 : selects(decay, variable);
  return decays ? weightDecay : 0;
}

/** What η is multiplied by for a variable: the factor of its group. */
function rateFactorOf(variable: tf.Variable, {learningRates}: ResolvedOwLoreOptions): number {
  return learningRates?.find(({variables}) => selects(variables, variable))?.factor ?? 1;
}
