import * as tf from '@tensorflow/tfjs-core';
import {Accumulation} from './optimizer/step/accumulation';
import {FiniteCheck} from './optimizer/step/finite_check';
import {factoredAxis} from './optimizer/step/gradient';
import {lostDevice} from './optimizer/step/lost_device';
import {checkNeeds, neededParts} from './optimizer/step/needs';
import {Projections} from './optimizer/state/projector';
import type {NamedTensor} from './optimizer/state/variables';
import {checkLearningRate, learningRateAt, type LearningRate} from './optimizer/schedule';
import {StateStore} from './optimizer/state/state';
import {Step, type OnGradient} from './optimizer/step/step';
import {
  allVariables,
  namesOf,
  pairWithVariables,
  trainableVariables,
} from './optimizer/state/variables';
import {installKernelsForBackend, installKernelsForStep} from '../kernels/install_for_backend';
import {OnDemand} from '../common/on_demand';
import {checkKnown, checkNumber, comparableOptions} from '../common/options';
import {
  owloreDefaults,
  owloreOptionsFromConfig,
  owloreOptionsToConfig,
  resolveOwLoreOptions,
  type OwLoreOptions,
  type ResolvedOwLoreOptions,
} from './optimizer/options';
import {unmatched} from '../model/variable_selector';
import {sayOnce} from '../common/say_once';
import {SamplingPlans, type PlannedOptimizer, type SamplingPlan} from './sampling_plan';
import {withRecomputedLayers} from '../tape/recompute_layers';
import {streamVariableGrads, variableGrads} from '../tape/tfjs_gradients';
import {aroundEachFit} from '../tfjs/fit';

/** For `getWeights` and `setWeights`. */
export const savedState = new OnDemand(() => import('./optimizer/state/saved_state'));

/**
 * AdamW whose state for the chosen matrices lives in a low-rank subspace of their gradients, and only while they are
 * trained: the update of OwLore (Li et al. 2024) and GaLore (Zhao et al. 2024, Alg. 2). Use it like any tfjs optimizer;
 * together with a {@link LayerSamplingCallback} it is OwLore, alone it is GaLore, with `project: false` it is AdamW.
 *
 * The state of a plain variable takes 2 numbers per element; that of a projected [m, n] matrix r·(m + 2n) on the left
 * side, r·(n + 2m) on the right. The optimizer owns it: with `state: 'reset'` the state of a variable is freed when a callback
 * freezes the variable, else it stays as long as the variable does; `dispose()` frees all of it.
 *
 * ```ts
 * model.compile({optimizer: new OwLoreOptimizer({learningRate: 3e-4, rank: 128}), loss});
 * ```
 */
export class OwLoreOptimizer extends tf.Optimizer implements PlannedOptimizer {
  /** The name under which a saved model refers to this class. */
  static get className(): string {
    return 'OwLoreOptimizer';
  }

  /** What `instanceof` asks. tf.Optimizer redefines it for itself and all classes below it: any optimizer is of any of them. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }

  private readonly options: ResolvedOwLoreOptions;
  private readonly states = new StateStore();
  private readonly plans = new SamplingPlans();
  // These read the options when they need them; none keeps a copy.
  private readonly projections: Projections;
  private readonly finiteCheck: FiniteCheck;
  private readonly accumulation: Accumulation;
  private hasCheckedSelectors = false;
  /** Tensors made for `getWeights`; freed here, because its callers cannot know that they should. */
  private saved: tf.Tensor[] = [];

  /** @throws Error that names the option, its value and what is allowed. */
  constructor(options: OwLoreOptions = {}) {
    super();
    this.options = resolveOwLoreOptions(options);
    const {project} = this.options;
    const isAsked = options.rank !== undefined || project !== 'auto';
    this.projections = new Projections(this.options, isAsked, (name) => this.states.find(name));
    this.finiteCheck = new FiniteCheck(this.options);
    this.accumulation = new Accumulation(this.states, this.projections, this.options);
    this.startLoading();
  }

  /**
   * Resolves when everything that a step needs is there: the backend, this library's kernels for it (`kernels: 'auto'`), and the
   * SVD for `basis: 'svd'`. A page loads kernels and SVD when they are needed; in Node they come with the library. `fit` and
   * `fitDataset` wait for this. A custom loop should await it once, before the first step: without the kernels a step is slower
   * (and a message says so), and on wasm some models have no gradient.
   *
   * @throws Error if the SVD cannot be loaded; if the kernels cannot be, it only warns.
   */
  async ready(): Promise<void> {
    await tf.ready();
    if (this.options.kernels === 'auto') await installKernelsForBackend();
    for (const part of neededParts(this.options)) await part.load();
  }

  /**
   * The learning rate of the next step; with `nonFinite: 'halve'` halved as often as a step was skipped.
   *
   * @throws Error if it comes from a function and is not a number ≥ 0.
   */
  get learningRate(): number {
    const rate = learningRateAt(this.options.learningRate, this.iterations);
    checkNumber('OwLoreOptimizer', `learningRate of step ${this.iterations}`, rate, {min: 0});
    return rate / 2 ** this.finiteCheck.halvings;
  }

  /**
   * A number, or a schedule of the global step, from the next step on. It is taken as it is: what halved the one before it is
   * forgotten.
   *
   * @throws Error if it is neither a number ≥ 0, a schedule nor a function.
   */
  set learningRate(rate: LearningRate) {
    checkLearningRate('OwLoreOptimizer', rate);
    this.options.learningRate = rate;
    this.finiteCheck.halvings = 0;
  }

  /** The options in effect as JSON, to be compared with those of another run; a function is only said to be one. */
  get settings(): Record<string, unknown> {
    return comparableOptions(this.options);
  }

  /** Calls of `applyGradients` that make one step. */
  get accumulate(): number {
    return this.options.accumulate;
  }

  /** Calls whose gradients wait for the other calls of their step; 0 between two steps. */
  get accumulated(): number {
    return this.accumulation.calls;
  }

  /** Names of the variables that brought a gradient in these calls. */
  get accumulatedVariables(): ReadonlySet<string> {
    return new Set(this.accumulation.variables().map(({name}) => name));
  }

  /** Steps that changed nothing because a gradient or the loss was not finite (`nonFinite: 'skip'` or `'halve'`). */
  get skippedSteps(): number {
    return this.finiteCheck.skipped;
  }

  /** Bytes of all state on the device: bases, moments, and the sums of gradients and losses. */
  get stateBytes(): number {
    return this.states.bytes + (this.accumulation.lossSum ? 4 : 0);
  }

  /**
   * Runs `f`, computes the gradients of its scalar result and makes one step (or one of `accumulate` parts of it). Each
   * gradient is used as soon as it is computed, and then freed.
   *
   * @returns The value of `f`, for the caller to dispose, if `returnCost`; else null.
   * @throws Error if no variable is trainable, a gradient or the loss is not finite, the backend's device is lost or its memory full
   *   (webgpu, webgl; wasm), or `f` throws; no weight is changed then, unless weights are moved as their gradients come
   *   (`nonFinite: 'ignore'` without `clipNorm`). If some gradients of the call were already added to those of earlier
   *   calls, the step of all these calls is given up.
   */
  override minimize(
    f: () => tf.Scalar,
    returnCost = false,
    varList?: tf.Variable[],
  ): tf.Scalar | null {
    const variables = trainableVariables(varList);
    this.states.identify(allVariables(varList).map(({name}) => name));
    this.prepareBackend();
    const cost = tf.tidy(() =>
      this.call(variables, (onGradient) =>
        streamVariableGrads(this.recomputing(f), variables, onGradient, (variable) =>
          factoredAxis(variable, this.projections.of(variable), this.options),
        ),
      ),
    );
    if (returnCost) return cost;
    cost.dispose();
    return null;
  }

  /** Like tf.Optimizer's, but on a tape that holds fewer tensors. */
  override computeGradients(
    f: () => tf.Scalar,
    varList?: tf.Variable[],
  ): {value: tf.Scalar; grads: tf.NamedTensorMap} {
    this.prepareBackend();
    return variableGrads(this.recomputing(f), varList);
  }

  /**
   * Updates variables by gradients, given as a map by name or an array. A variable without a gradient among them stays as it is,
   * with its state. The gradients stay the caller's.
   *
   * @throws Error if a name is unknown or occurs twice, a gradient does not fit its variable or is not finite.
   */
  override applyGradients(gradients: tf.NamedTensorMap | NamedTensor[]): void {
    this.prepareBackend();
    tf.tidy(() => {
      const pairs = pairWithVariables(gradients);
      const variables = pairs.map(([variable]) => variable);
      this.states.identify(namesOf(gradients));
      this.call(variables, (onGradient) => {
        for (const [variable, gradient] of pairs) onGradient(variable, tf.clone(gradient));
        return null;
      });
    });
  }

  /**
   * Makes a step of the waiting gradients, the mean of `accumulated` calls, without waiting for all `accumulate` of them. Does
   * nothing between two steps. Call it at the end of the whole training: after an epoch or a `fit` it is not needed, because the
   * next one goes on in the same step.
   *
   * @param varList Straight after {@link setWeights}: the model's variables, to which the state belongs. Default: all there are.
   * @throws Error as `minimize` does. If the step itself fails, the gradients are dropped.
   */
  flush(varList?: tf.Variable[]): void {
    if (this.accumulated === 0) return;
    if (this.states.isUnidentified) {
      this.states.identify(allVariables(varList).map(({name}) => name));
    }
    this.prepareBackend();
    this.checkCall();
    tf.tidy(() => this.stepOfMeans());
  }

  /**
   * Takes the sampling plan of a callback, or null to forget all plans. A plan replaces an earlier one that has a variable in
   * common with it; the plan of another model stays.
   */
  setSamplingPlan(plan: SamplingPlan | null): void {
    this.plans.set(plan);
    this.projections.setBlocks(this.plans.blockVariables);
  }

  /**
   * Resolves when all asynchronous checks for finite gradients are done; rejects if one of them failed, or if the backend's device is
   * lost.
   */
  async settled(): Promise<void> {
    this.checkDevice();
    await this.finiteCheck.settled().catch((error: unknown) => {
      throw lostDevice(this) ?? error;
    });
    this.checkDevice();
  }

  /**
   * All state as named tensors: `iter` and counters, then for each variable with state its moments, basis and clocks. The tensors
   * are the optimizer's own; they stay valid until the next step, call of
   * `getWeights` or `dispose`.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    // Not awaited where it is there, so that the state is that of the call.
    const {statesToTensors, isMadeToSave} = savedState.loaded ?? (await savedState.load());
    const {iterations} = this;
    const {calls, lossSum} = this.accumulation;
    const {skipped, halvings} = this.finiteCheck;
    const states = this.states.toSave();
    const all = statesToTensors({iterations, calls, lossSum, skipped, halvings, states});
    tf.dispose(this.saved);
    this.saved = all.filter(isMadeToSave).map(({tensor}) => tensor);
    return all;
  }

  /**
   * Restores state that `getWeights` returned. In the next step each variable gets its own, by name. Where tfjs has renamed the
   * variables, as on loading, they are matched by their order; if the match is not certain they start anew and a log line says
   * so. The tensors stay the caller's.
   *
   * @throws Error if the weights are another optimizer's, do not fit together, do not fit the variables of their names, or have
   *   impossible numbers: moments or bases that are not finite, negative second moments or norms, counters that are not integers ≥ 0.
   *   Nothing is changed then.
   */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    const {weightsFromTensors, findOwners} = await savedState.load();
    const {iterations, calls, skipped, lossSum, halvings, states} =
      await weightsFromTensors(weights);
    this.accumulation.clear();
    this.states.restore(states, findOwners);
    Object.assign(this.accumulation, {calls, lossSum});
    this.finiteCheck.abandon();
    Object.assign(this.finiteCheck, {skipped, halvings});
    this.iterations_ = iterations;
  }

  /**
   * Options as JSON, from which `fromConfig` makes an equal optimizer.
   *
   * @throws Error if one of them is a function.
   */
  override getConfig(): tf.serialization.ConfigDict {
    return owloreOptionsToConfig(this.options) as tf.serialization.ConfigDict;
  }

  /** The reverse of `getConfig`. */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    return new cls(owloreOptionsFromConfig(config));
  }

  /** Frees all state. The optimizer can be used again; it starts anew. */
  override dispose(): void {
    this.states.clear();
    tf.dispose(this.saved);
    this.saved = [];
    this.accumulation.clear();
    this.finiteCheck.abandon();
    Object.assign(this.finiteCheck, {skipped: 0, halvings: 0});
    this.iterations_ = 0;
  }

  /**
   * Begins to load what a step will need. Kernels are registered at once where they are there, because the first forward pass may
   * not be this optimizer's: that of `tf.variableGrads` is not.
   */
  private startLoading(): void {
    if (this.options.kernels === 'auto') void installKernelsForBackend();
    // An error is left to the step that needs it.
    for (const part of neededParts(this.options)) part.load().catch(() => undefined);
  }

  private prepareBackend(): void {
    if (this.options.kernels === 'auto') installKernelsForStep();
  }

  /** `f` with the recomputation of its layers that the option `gradientCheckpointing` asks for. */
  private recomputing(f: () => tf.Scalar): () => tf.Scalar {
    return () => withRecomputedLayers(this.options.gradientCheckpointing, f);
  }

  /**
   * One call: makes a step, or one of `accumulate` parts of it, from the gradients that `stream` hands over and the loss that it
   * returns, if there is one.
   */
  private call<T extends tf.Scalar | null>(
    variables: readonly tf.Variable[],
    stream: (onGradient: OnGradient) => T,
  ): T {
    this.checkCall();
    if (this.plans.forgetDisposed()) this.projections.setBlocks(this.plans.blockVariables);
    this.checkSelectorsOnce(variables);
    const {accumulate, accumulation} = this;
    if (accumulate === 1 && accumulation.calls === 0) return this.step(variables, stream);
    this.states.check(variables, this.projections);
    const result = accumulation.addCall(stream);
    if (accumulation.calls >= accumulate) this.stepOfMeans();
    return result;
  }

  /** Throws what speaks against a step now, before it is begun. */
  private checkCall(): void {
    this.checkDevice();
    this.finiteCheck.throwFailure();
    checkNeeds(this.options);
  }

  /** Throws if the backend's device is lost: it would compute nothing, and some backends nothing but zeros. */
  private checkDevice(): void {
    const lost = lostDevice(this);
    if (!lost) return;
    this.finiteCheck.abandon();
    throw lost;
  }

  /** Warns of names in `project`, `decay` and `learningRates` that pick no variable at all, of whichever model. */
  private checkSelectorsOnce([example]: readonly tf.Variable[]): void {
    if (this.hasCheckedSelectors || !example) return;
    this.hasCheckedSelectors = true;
    const {project, decay, learningRates} = this.options;
    const selectors = [
      ['project', project] as const,
      ['decay', decay] as const,
      ...(learningRates ?? []).map(({variables}) => ['learningRates', variables] as const),
    ];
    for (const [name, selector] of selectors) {
      if (selector === 'auto' || selector === false) continue;
      const missing = unmatched(selector, allVariables());
      if (missing.length === 0) continue;
      sayOnce(
        'warn',
        `OwLoreOptimizer: ${name} has ${missing.join(', ')}, but no variable is called that; variables have names such as ` +
          `'${example.name}'`,
      );
    }
  }

  /** One step of the accumulated gradients. Afterwards none is waiting, even if the step throws. */
  private stepOfMeans(): void {
    const {accumulation} = this;
    try {
      this.step(accumulation.variables(), (onGradient) => accumulation.streamMeans(onGradient));
    } finally {
      accumulation.clear();
    }
  }

  /**
   * One step of the gradients that `stream` hands over: each is projected as soon as it is there, all are checked together with
   * the loss that `stream` returns, then the weights are moved. Where there is nothing to check, each weight is moved as soon as its gradient is there.
   */
  private step<T extends tf.Scalar | null>(
    variables: readonly tf.Variable[],
    stream: (onGradient: OnGradient) => T,
  ): T {
    const {options, states, projections, finiteCheck, learningRate} = this;
    states.check(variables, projections);
    this.letFrozenGo(new Set(variables.map(({name}) => name)));
    const onRefresh = (variable: string): void =>
      this.plans.onRefresh({variable, step: this.iterations + 1});
    const settings = {
      ...{options, learningRate, step: this.iterations},
      ...{clip: null, allFinite: null, onRefresh},
    };
    const step = new Step(settings, states, projections, finiteCheck);
    try {
      const result = stream((variable, gradient, form) => {
        step.project(variable, gradient, form);
        if (!step.needsCheck) step.apply();
      });
      projections.summarizeOnce(variables.filter(({name}) => step.variables.has(name)));
      this.plans.onStep(step.variables);
      if (result) step.takeLoss(result);
      if (step.check()) step.apply();
      this.incrementIterations();
      return result;
    } finally {
      step.dispose();
    }
  }

  /** Frees the state of the variables that a callback keeps from training; not of those in the step. */
  private letFrozenGo(inStep: ReadonlySet<string>): void {
    if (this.options.state === 'keep') return;
    this.states.free(this.plans.frozenVariables.filter((name) => !inStep.has(name)));
  }
}

/**
 * Makes an {@link OwLoreOptimizer}, as `tf.train.adam(…)` makes Adam. `compile({optimizer: 'owlore'})` is not possible:
 * tfjs-layers keeps the names of its optimizers inside a function, where none can be added.
 *
 * ```ts
 * model.compile({optimizer: owlore(3e-4, {rank: 64}), loss});
 * ```
 *
 * @param learningRate Step size, a schedule of the global step, or a function of it. Default 0.001.
 * @param options The other options of {@link OwLoreOptimizer}.
 * @throws Error that names the option, its value and what is allowed.
 */
export function owlore(
  learningRate: LearningRate = owloreDefaults.learningRate,
  options: Omit<OwLoreOptions, 'learningRate'> = {},
): OwLoreOptimizer {
  const {learningRate: _, ...others} = owloreDefaults;
  checkKnown('owlore(learningRate, options)', options, Object.keys(others));
  return new OwLoreOptimizer({...options, learningRate});
}

tf.serialization.registerClass(OwLoreOptimizer);

// Every `fit` waits for the parts that its optimizer loads, and for the checks of its last steps, also if it is of another copy of
// this library, or made by leanOptimizer.
aroundEachFit(
  ({optimizer}) => (optimizer as Partial<OwLoreOptimizer>).ready?.(),
  ({optimizer}) => (optimizer as Partial<OwLoreOptimizer>).settled?.(),
);
