import {EventEmitter} from 'eventemitter3';
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type TypedEmitter from 'typed-emitter';
import {LayerSampling, type BegunPeriod} from './sampling/layer_sampling';
import {
  anotherModelLine,
  leftOutLine,
  openStepLine,
  tooShortLine,
  unannouncedLine,
} from './sampling/messages';
import {checkSamplingState, checkStateFits, type LayerSamplingState} from './sampling/saved_state';
import {MISSED_BATCHES, StepCounter, stepsOfBatches} from './sampling/step_counter';
import {
  checkCopy,
  sameWeights,
  trainingOf,
  trainsAny,
  weightsOf,
  wrongReceiver,
} from './sampling/training';
import {
  callbackName,
  layerSamplingOptions,
  resolveLayerSamplingOptions,
  type LayerSamplingOptions,
  type ResolvedLayerSamplingOptions,
} from './sampling/options';
import {bindingOptions, comparableOptions} from '../common/options';
import {fittedGammaLine} from './sampling/block_probabilities';
import {fittedInterval, periodOf, type BlockHistory} from './sampling/periods';
import type {SamplingProbabilities} from './sampling/probabilities';
import {samplers} from './sampling/samplers';
import {takesSamplingPlan, type RefreshEvent} from './sampling_plan';
import {sayOnce} from '../common/say_once';
import {
  areInSameFit,
  batchesOfFit,
  keepHooks,
  mixCallbacks,
  whenFitEnds,
  yieldingCallback,
} from '../tfjs/fit';
import {buildSequential} from '../tfjs/models';
import {keepStateByName, learningRateOf} from '../tfjs/optimizers';

/** The blocks of a new period. */
export interface SampleEvent {
  /** The period's first step, 1, 2, … */
  step: number;
  /** 0, 1, … */
  period: number;
  /** Names of the blocks that are on. */
  blocks: string[];
}

/** What a new period changed. */
export interface FreezeEvent {
  /** The period's first step, 1, 2, … */
  step: number;
  /** Names of the blocks that were on and now are off. */
  frozen: string[];
  /** Names of the blocks that were off and now are on. */
  unfrozen: string[];
}

/** Events of a {@link LayerSamplingCallback}. */
// eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- typed-emitter asks for an index signature
export type LayerSamplingEvents = {
  /** A period begins. */
  sample: (event: SampleEvent) => void;
  /** A period begins with other blocks than the last one. */
  freeze: (event: FreezeEvent) => void;
  /** The optimizer computed a basis anew (OwLoreOptimizer only). */
  refresh: (event: RefreshEvent) => void;
};

/** What eventemitter3 has of Node's emitters. */
export type LayerSamplingEmitter = Pick<
  TypedEmitter<LayerSamplingEvents>,
  | 'on'
  | 'once'
  | 'off'
  | 'addListener'
  | 'removeListener'
  | 'removeAllListeners'
  | 'emit'
  | 'eventNames'
  | 'listeners'
  | 'listenerCount'
>;

/** For each weight, the callback that currently decides whether it is trained. */
const attached = new WeakMap<tfl.LayerVariable, LayerSamplingCallback>();

/**
 * Trains a few blocks of a model at a time: for each period of `interval` steps it draws the blocks that are trainable, with
 * probabilities in proportion to their scores; the others are frozen. OwLore (Li et al. 2024, Alg. 1) needs `scores`, those of
 * `outlierScores`; without them all blocks are as probable, which is LISA (Pan et al. 2024).
 * Works with any tfjs optimizer; an {@link OwLoreOptimizer} also frees the state of frozen blocks and projects the matrices
 * of the others.
 *
 * ```ts
 * await model.fit(x, y, {callbacks: [new LayerSamplingCallback({scores, gamma: 5})]});
 * ```
 *
 * It draws among the blocks that have a weight to train: one that was trainable when the model was compiled and has not been
 * frozen since. A log line names the blocks that are left out. Setting `layer.trainable = false` or calling `compile` in the
 * middle of a training takes effect at the next batch.
 *
 * When `fit` ends, even with an error, every weight is as trainable as it was before. A second `fit` of the same model, even
 * if it was compiled again in between, goes on in the period where the first one stopped. Another model starts anew, with the
 * first draw of the seed. To continue with a model that was saved and loaded, give the state of the old callback to the new one
 * (`getState`, `setState`; `resumeCheckpoint` does it), or make a callback with `initialStep`, or replay a `blockHistory`. Two models that are trained in turns, as a GAN's are, need a callback each.
 *
 * A period changes only between two steps of the optimizer. With `accumulate` > 1 the end of an epoch or of `fit` may leave a
 * step open. The next `fit` goes on in it; `optimizer.flush()` makes it from the calls so far; `optimizer.dispose()` drops
 * them. If the open step belongs to other blocks than the coming ones, as when a new callback begins, it is made at once.
 *
 * The callback adds the learning rate to the logs: `logs.lr` of each batch, for all callbacks; `logs.lr` of each epoch, for
 * the callbacks after it in the array and for `history.lr`. Like a `fit` without callbacks it lets the page draw every 125 ms.
 */
export class LayerSamplingCallback extends tfl.Callback {
  /** Emits what happens; see {@link LayerSamplingEvents}. */
  readonly events = new EventEmitter() as LayerSamplingEmitter;
  private readonly options: ResolvedLayerSamplingOptions;
  /** The algorithm, on the model that is trained; null outside a training. */
  private sampling: LayerSampling | null = null;
  /** Of the last training, as the names of all blocks are. */
  private p: SamplingProbabilities | null = null;
  private blockNames: readonly string[] = [];
  /** The weights of the model that is trained; other weights mean another model. */
  private weights: readonly tfl.LayerVariable[] = [];
  /** The first weight of each model that it has trained. */
  private readonly known = new WeakSet<tfl.LayerVariable>();
  /** Names of the blocks that were on in each period so far, to which the algorithm adds. */
  private periods: string[][] = [];
  /** Steps of a period; null: `'auto'`, and no training has begun. */
  private interval: number | null;
  /** The optimizer of a custom loop; null: the one that the model was compiled with. */
  private loopOptimizer: tf.Optimizer | null = null;
  private counter: StepCounter;
  /** The state that was set, until the next training begins, which goes on from it. */
  private restored: LayerSamplingState | null = null;
  /** The learning rate of the last batch. */
  private rate: number | undefined;
  /** What it has said of its trainings, whose lines differ in numbers only. */
  private readonly said = new Set<'length' | 'open step'>();
  /** Steps that the optimizer has made since the last `step()`. */
  private unannounced = 0;
  /** tfjs's own pauses, which it leaves out when `fit` gets an array of callbacks. */
  private readonly pauses = yieldingCallback();

  /** @throws Error that names the option, its value and what is allowed. */
  constructor(options: LayerSamplingOptions = {}) {
    super();
    this.options = resolveLayerSamplingOptions(options);
    const {interval, initialStep} = this.options;
    this.interval = interval === 'auto' ? null : interval;
    this.counter = new StepCounter(initialStep);
    keepHooks(this);
  }

  /** Optimizer steps done so far: the `initialStep` of a callback that is to go on from here. */
  get steps(): number {
    return this.counter.steps;
  }

  /** Steps of a period; of `'auto'` before the first training the paper's. */
  private get stepsOfPeriod(): number {
    return this.interval ?? fittedInterval(null);
  }

  /** Names of the blocks of the current period; empty before the first step. */
  get activeBlocks(): readonly string[] {
    return this.periods.at(-1) ?? [];
  }

  /**
   * The probability of each block that can train, with the names in `blocks`; null until training has begun, if a history is
   * replayed, or if no block can train.
   */
  get probabilities(): SamplingProbabilities | null {
    return this.p;
  }

  /** All blocks of the model, and which were on in every period so far. Plain JSON; the option `blockHistory` replays it. */
  get blockHistory(): BlockHistory {
    return structuredClone({
      blocks: [...this.blockNames],
      interval: this.stepsOfPeriod,
      periods: this.periods,
    });
  }

  /** The options in effect as JSON, to be compared with those of another run; a function is only said to be one. */
  get settings(): Record<string, unknown> {
    return comparableOptions(bindingOptions(layerSamplingOptions, this.options));
  }

  /** Where the callback stands between two batches, as plain JSON. */
  getState(): LayerSamplingState {
    const {blockNames, p, interval, periods, counter} = this;
    return structuredClone(
      this.restored ?? {
        blocks: [...blockNames],
        probabilities: p,
        ...{interval, periods},
        ...counter.state,
      },
    );
  }

  /**
   * Goes on from the state of a callback with the same options, `initialStep` aside: the training that comes next continues it,
   * whichever model it is of. That training throws, before anything is changed, if the model has other blocks or draws them with
   * other probabilities.
   *
   * @throws Error if it is no state of a callback; nothing is changed then.
   */
  setState(state: LayerSamplingState): void {
    const {interval} = this.options;
    checkSamplingState(callbackName, state, interval);
    this.restore();
    const {blocks, probabilities, periods, steps} = structuredClone(state);
    this.interval = state.interval ?? (interval === 'auto' ? null : interval);
    this.restored = structuredClone(state);
    this.blockNames = blocks;
    this.p = probabilities;
    this.periods = periods;
    this.counter = new StepCounter(steps);
  }

  /**
   * Begins a custom loop; `fit` and `fitDataset` do it by themselves. Nothing is frozen before the first `step()`.
   *
   * ```ts
   * callback.attach(model, optimizer);
   * try {
   *   for (const {xs, ys} of batches) {
   *     callback.step();
   *     optimizer.minimize(() => loss(ys, model.apply(xs, {training: true})));
   *   }
   * } finally {
   *   callback.restore();
   * }
   * ```
   *
   * @param model Need not be compiled if `optimizer` is given.
   * @param optimizer The one whose `minimize` or `applyGradients` the loop calls. Default: the one that the model was compiled
   *   with, which `trainOnBatch` uses.
   * @throws Error if there is no optimizer, the scores are for other blocks, …; the model is then left as it was. Of a model that
   *   is frozen as a whole now, `step()` throws that, unless it trains by then.
   */
  attach(model: tfl.LayersModel, optimizer?: tf.Optimizer): void {
    this.setModel(model);
    buildSequential(model);
    this.loopOptimizer = optimizer ?? null;
    const {loopOptimizer} = this;
    // A model that is frozen as a whole, as a GAN's discriminator after its compile, may be unfrozen for each of its steps.
    if (trainsAny(weightsOf(trainingOf(model, loopOptimizer), loopOptimizer))) this.prepare();
  }

  /**
   * Begins a batch. In a custom loop, call it before each call of the optimizer (`trainOnBatch`, `minimize`,
   * `applyGradients`), after one `attach(model, optimizer)`.
   *
   * @throws Error if the optimizer is an {@link OwLoreOptimizer} that has not been called for the last ten batches, so that the
   *   loop must be using another one. The model is then as it was before training. With an optimizer of tfjs it warns, once.
   */
  step(): void {
    const sampling = this.prepare();
    this.unannounced = 0;
    this.restoringOnError(() => {
      const begun = sampling.beginStep(this.steps);
      if (begun) this.emitPeriod(begun);
      this.counter.begin(sampling.optimizer);
    });
  }

  /** Makes every weight as trainable as it was before training. Call it after a custom loop, best in a `finally`. */
  restore(): void {
    if (!this.sampling) return;
    this.counter.end();
    this.sampling.restore();
    for (const weight of this.sampling.weights) attached.delete(weight);
    this.sampling = null;
  }

  /** Called by `fit` before anything else. */
  override setModel(model: tfl.LayersModel): void {
    checkCopy(model);
    this.restore();
    this.loopOptimizer = null;
    super.setModel(model);
  }

  override async onTrainBegin(): Promise<void> {
    checkReceiver(this);
    const batches = batchesOfFit(this);
    const {optimizer} = trainingOf(this.model, this.loopOptimizer);
    this.interval ??= fittedInterval(batches === null ? null : stepsOfBatches(batches, optimizer));
    this.prepare();
    whenFitEnds(this.model, () => this.restore());
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    checkReceiver(this);
    this.restoringOnError(() => this.checkLength(epoch));
  }

  override async onBatchBegin(_batch?: number, logs?: tfl.Logs): Promise<void> {
    checkReceiver(this);
    this.step();
    this.rate = learningRateOf(this.sampling!.optimizer);
    this.log(logs);
  }

  override async onBatchEnd(batch: number, logs?: tfl.Logs): Promise<void> {
    checkReceiver(this);
    await this.pauses.onBatchEnd(batch, logs);
  }

  override async onEpochEnd(_epoch: number, logs?: tfl.Logs): Promise<void> {
    checkReceiver(this);
    this.log(logs);
  }

  override async onTrainEnd(): Promise<void> {
    checkReceiver(this);
    const optimizer = this.sampling?.optimizer;
    this.restore();
    if (!optimizer || !takesSamplingPlan(optimizer)) return;
    await optimizer.settled();
    if (optimizer.accumulated === 0 || this.said.has('open step')) return;
    this.said.add('open step');
    sayOnce('info', openStepLine(optimizer));
  }

  /**
   * Inspects the model, once for each training and again when the user has changed what is trained, and sends the plan to its
   * optimizer. If it throws, the model is left as it was.
   */
  private prepare(): LayerSampling {
    const {options, loopOptimizer, restored} = this;
    const training = trainingOf(this.model, loopOptimizer);
    if (this.sampling?.isOf(training)) return this.sampling;
    const interval = (this.interval = this.stepsOfPeriod);
    this.restore();
    const toTrain = weightsOf(training, loopOptimizer);
    this.endOthers(toTrain);
    const {weights} = training.model;
    const isNew = !restored && !sameWeights(this.weights, weights);
    const periods = isNew ? [] : this.periods;
    const sampling = new LayerSampling(training, toTrain, options, {interval, periods});
    if (restored && restored.blocks.length > 0) {
      checkStateFits(restored, sampling.blocks.all, sampling.probabilities);
    }
    sampling.tellOptimizer({
      onRefresh: (event) => this.events.emit('refresh', event),
      onStep: () => this.noticeStep(),
    });
    keepStateByName(sampling.optimizer);
    this.sampling = sampling;
    if (isNew) this.startAnew(weights);
    if (restored) this.counter = StepCounter.from(restored, sampling.optimizer);
    this.restored = null;
    this.weights = weights;
    this.periods = periods;
    this.p = sampling.probabilities;
    this.blockNames = sampling.blocks.all;
    for (const weight of sampling.weights) attached.set(weight, this);
    // The draws of steps before `initialStep` are made now.
    this.restoringOnError(() => sampling.skipTo(this.steps));
    const lines = [leftOutLine(sampling.blocks)];
    if (this.p && !options.probabilities && options.gamma === 'auto') {
      lines.push(fittedGammaLine(callbackName, this.p));
    }
    for (const line of lines) if (line !== null) sayOnce('info', line);
    return sampling;
  }

  /** Warns, once, if a loop calls the optimizer and not `step()`. */
  private noticeStep(): void {
    if (!this.sampling || ++this.unannounced <= MISSED_BATCHES) return;
    sayOnce('warn', unannouncedLine);
  }

  private startAnew(weights: readonly tfl.LayerVariable[]): void {
    if (this.known.has(weights[0]!)) sayOnce('warn', anotherModelLine);
    this.known.add(weights[0]!);
    this.counter = new StepCounter(this.options.initialStep);
  }

  private emitPeriod({period, blocks, before}: BegunPeriod): void {
    const step = period * this.stepsOfPeriod + 1;
    this.events.emit('sample', {step, period, blocks: [...blocks]});
    const frozen = before.filter((name) => !blocks.includes(name));
    const unfrozen = blocks.filter((name) => !before.includes(name));
    if (frozen.length + unfrozen.length > 0) this.events.emit('freeze', {step, frozen, unfrozen});
  }

  /**
   * Ends the loop of another callback on this model if that loop was left without `restore()`. If it was not left, its next
   * `step()` is an error.
   *
   * @throws Error if the other one is a callback of the same `fit`.
   */
  private endOthers(weights: readonly tfl.LayerVariable[]): void {
    for (const weight of weights) {
      const other = attached.get(weight);
      if (!other) continue;
      if (areInSameFit(other, this)) {
        throw new Error(
          `${callbackName}: another LayerSamplingCallback is at work on this model; use one at a time`,
        );
      }
      other.restore();
      if (!other.params) other.model = null!;
    }
  }

  /**
   * Warns, once, if the training is too short to visit the blocks; throws if it is longer than the `blockHistory`. A period or step that
   * an earlier training left open counts as begun.
   *
   * @param epoch The one that begins: what `fitDataset` begins with is told nowhere else.
   */
  private checkLength(epoch: number): void {
    const batches = batchesOfFit(this, epoch);
    if (batches === null) return;
    const {blockHistory, sampler} = this.options;
    const interval = this.stepsOfPeriod;
    const steps = this.steps + stepsOfBatches(batches, this.sampling!.optimizer);
    const periods = Math.ceil(steps / interval);
    if (blockHistory && periods > 0) periodOf(callbackName, blockHistory, periods - 1);
    if (!this.p) return;
    const reachable = this.p.probabilities.filter((p) => p > 0).length;
    const visits = samplers[sampler].visits(this.p, periods);
    if (visits >= reachable || this.said.has('length')) return;
    this.said.add('length');
    sayOnce('warn', tooShortLine(visits, reachable, {steps, interval}));
  }

  private log(logs?: tfl.Logs): void {
    if (logs && this.rate !== undefined) logs.lr = this.rate;
  }

  private restoringOnError(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.restore();
      throw error;
    }
  }
}

mixCallbacks();

/** Throws if `fit` calls the callback's methods on an object of its own. */
function checkReceiver(receiver: unknown): void {
  if (!(receiver instanceof LayerSamplingCallback)) throw wrongReceiver(receiver);
}
