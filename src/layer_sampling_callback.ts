import {EventEmitter} from 'events';
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type TypedEmitter from 'typed-emitter';
import {
  resolveLayerSamplingOptions,
  type LayerSamplingOptions,
  type ResolvedLayerSamplingOptions,
} from './layer_sampling_options';
import {resolveBlocks} from './model/blocks';
import {BlockMask} from './model/block_mask';
import {
  fittedGammaLine,
  probabilitiesAsGiven,
  probabilitiesFromScores,
  type BlockNames,
} from './sampling/block_probabilities';
import type {SamplingProbabilities} from './sampling/probabilities';
import {createDrawer, replayDrawer, type Drawer} from './sampling/drawer';
import {replayPeriod, type SamplingSchedule} from './sampling/schedule';
import {
  StepCounter,
  takesSamplingPlan,
  type PlannedOptimizer,
  type RefreshEvent,
} from './sampling_plan';
import {
  areInSameFit,
  batchesOfFit,
  fitHooks,
  isPlainObjectsReceiver,
  whenFitEnds,
  yieldingCallback,
} from './tfjs/fit';
import {buildSequential, trainedModel, variableOf, weightsToTrain} from './tfjs/models';
import {isOptimizer, learningRateOf} from './tfjs/optimizers';

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

/** What is at hand while a model's blocks are sampled. */
interface Attachment {
  /** The one that is trained, see `trainedModel`. */
  model: tfl.LayersModel;
  mask: BlockMask;
  draw: Drawer;
  optimizer: tf.Optimizer;
  /** Of all weights of the model. */
  variables: readonly tf.Variable[];
}

const owner = 'LayerSamplingCallback';

/** The callback that at present decides whether a weight is trained. */
const attached = new WeakMap<tfl.LayerVariable, LayerSamplingCallback>();

/**
 * Trains a few blocks of a model at a time: in every period of `interval` steps the blocks that were drawn are trainable
 * and the others frozen, with probabilities in proportion to their scores (OwLore, Li et al. 2024, Alg. 1; LISA, Pan et al.
 * 2024). Works with any tfjs optimizer; an {@link OwLoreOptimizer} also frees the state of frozen blocks and projects the
 * matrices of the others.
 *
 * ```ts
 * await model.fit(x, y, {callbacks: [new LayerSamplingCallback({scores, gamma: 5})]});
 * ```
 *
 * Drawn from are the blocks that have a weight to train: one that the model was compiled with as trainable and that was not
 * frozen since. One line says which blocks are left out. `layer.trainable = false` in the middle of a training counts from
 * the next batch on, and so does `compile`.
 *
 * When `fit` ends, also by an error, every weight is as trainable as it was before. A second `fit` of the same model, also if
 * it was compiled again in between, goes on in the period where the first one stopped. Another model starts anew, with the
 * first draw of the seed. To go on there (a model that was saved and loaded), make a callback with `initialStep`, or replay
 * a `schedule`. Two models that are trained in turns, as a GAN's are, need a callback each.
 *
 * A period changes only between two steps of the optimizer. With `accumulate` > 1 the end of an epoch or of `fit` may leave a
 * step open: the next `fit` goes on in it; `optimizer.flush()` makes it of the calls so far, `optimizer.dispose()` drops
 * them. If an open step is one of other blocks than those that come, as when a new callback begins, it is made at once.
 *
 * It puts the learning rate into the logs: `logs.lr` of each batch, for all callbacks, and of each epoch, for those after
 * it in the array and in `history.lr`. Like a `fit` without callbacks it lets the page draw every 125 ms.
 */
export class LayerSamplingCallback extends tfl.Callback {
  /** Emits what happens; see {@link LayerSamplingEvents}. */
  readonly events = new EventEmitter() as TypedEmitter<LayerSamplingEvents>;
  private readonly options: ResolvedLayerSamplingOptions;
  private attachment: Attachment | null = null;
  private sampling: SamplingProbabilities | null = null;
  private blockNames: string[] = [];
  /** The weights of the model that is trained, by which another one shows. */
  private weights: readonly tfl.LayerVariable[] = [];
  /** Names of the blocks that were on in each period so far. */
  private periods: string[][] = [];
  /** The optimizer of a loop of one's own; null: the one that the model was compiled with. */
  private loopOptimizer: tf.Optimizer | null = null;
  private counter: StepCounter;
  /** The learning rate of the last batch. */
  private rate: number | undefined;
  /** tfjs's own pauses, which an array of callbacks does without. */
  private readonly pauses = yieldingCallback();
  /** What was said once. */
  private readonly said = new Set<string>();

  /** @throws Error that names the option, its value and what is allowed. */
  constructor(options: LayerSamplingOptions = {}) {
    super();
    this.options = resolveLayerSamplingOptions(options);
    this.counter = new StepCounter(this.options.initialStep);
    // A copy made by {...callback} has no methods but these, and so runs into checkReceiver in place of having no effect.
    Object.assign(
      this,
      Object.fromEntries(fitHooks.map((hook) => [hook, Reflect.get(this, hook)])),
    );
  }

  /** Optimizer steps done so far: the `initialStep` of a callback that is to go on from here. */
  get steps(): number {
    return this.counter.steps;
  }

  /** Names of the blocks of the present period; empty before the first step. */
  get activeBlocks(): readonly string[] {
    return this.periods.at(-1) ?? [];
  }

  /**
   * The probability of each block that can train, which its `blocks` name; null until training has begun, if a schedule is
   * replayed, or if no block can train.
   */
  get probabilities(): SamplingProbabilities | null {
    return this.sampling;
  }

  /** All blocks of the model, and which were on in every period so far. Plain JSON; the option of that name replays it. */
  get schedule(): SamplingSchedule {
    return structuredClone({
      blocks: this.blockNames,
      interval: this.options.interval,
      periods: this.periods,
    });
  }

  /**
   * Begins a loop of one's own; `fit` and `fitDataset` do it by themselves. Nothing is frozen before the first `step()`.
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
   * @throws Error if there is no optimizer, the scores are for other blocks, …; the model is then as it was.
   */
  attach(model: tfl.LayersModel, optimizer?: tf.Optimizer): void {
    this.restore();
    this.setModel(model);
    buildSequential(model);
    this.loopOptimizer = optimizer ?? null;
    this.prepare();
  }

  /**
   * Begins a batch; in a loop of one's own to be called before each call of the optimizer (`trainOnBatch`, `minimize`,
   * `applyGradients`), after `attach(model, optimizer)` once.
   *
   * @throws Error if the optimizer is an {@link OwLoreOptimizer} that has not been called for the last ten batches: the loop
   *   uses another one. The model is then as it was before training. For an optimizer of tfjs a warning says so, once.
   */
  step(): void {
    const attachment = this.prepare();
    this.restoringOnError(() => {
      const isDue = this.steps >= this.periods.length * this.options.interval;
      if (isDue) {
        this.beginPeriod(attachment);
      } else {
        // layer.trainable, which may have been set back and forth since the last step, sets that of the variables.
        attachment.mask.apply(this.activeBlocks);
        finishStepOfOthers(attachment, (isOn, isWaiting) => isWaiting && !isOn);
      }
      this.counter.begin(attachment.optimizer);
    });
  }

  /** Makes every weight as trainable as it was before training; to be called after a loop of one's own, best in a `finally`. */
  restore(): void {
    if (!this.attachment) return;
    const {mask} = this.attachment;
    this.counter.end();
    mask.restore();
    for (const weight of mask.weights) attached.delete(weight);
    this.attachment = null;
  }

  /** Of `fit`, before anything else. */
  override setModel(model: tfl.LayersModel): void {
    checkCopy(model);
    if (model !== this.model || this.loopOptimizer) this.restore();
    this.loopOptimizer = null;
    super.setModel(model);
  }

  override async onTrainBegin(): Promise<void> {
    checkReceiver(this);
    const attachment = this.prepare();
    whenFitEnds(this.model, () => this.restore());
    this.restoringOnError(() => this.checkLength(attachment));
  }

  override async onEpochBegin(): Promise<void> {
    checkReceiver(this);
  }

  override async onBatchBegin(_batch?: number, logs?: tfl.Logs): Promise<void> {
    checkReceiver(this);
    this.step();
    this.rate = learningRateOf(this.attachment!.optimizer);
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
    const optimizer = this.attachment?.optimizer;
    this.restore();
    if (!optimizer || !takesSamplingPlan(optimizer)) return;
    await optimizer.settled();
    this.tellOfOpenStep(optimizer);
  }

  /**
   * Looks at the model, once for each training and when the user has changed what is trained, and tells its optimizer. If it
   * throws, the model is as it was.
   */
  private prepare(): Attachment {
    const {options, loopOptimizer} = this;
    const optimizer = loopOptimizer ?? (this.model && trainedModel(this.model).optimizer);
    checkModel(this.model, optimizer);
    const model = trainedModel(this.model);
    const {attachment: present} = this;
    const isSame = present?.model === model && present.optimizer === optimizer;
    if (isSame && !present.mask.isOutdated) return present;
    this.restore();
    // A loop's own optimizer moves what is trainable, whatever the model was compiled with.
    const toTrain = loopOptimizer ? model.trainableWeights : weightsToTrain(model);
    this.takeOver(toTrain);
    const isNew = !sameWeights(this.weights, model.weights);
    const blocks = resolveBlocks(model, options.blocks);
    const mask = new BlockMask(model, toTrain, blocks, options.alwaysOn);
    const names = {all: blocks.map(({name}) => name), candidates: mask.candidates};
    const sampling = this.probabilitiesOf(names);
    if (sampling && !mask.hasAlwaysOn) this.checkNeverEmpty(sampling);
    const draw = options.schedule
      ? replayDrawer(options.schedule, names)
      : createDrawer(sampling, options, isNew ? 0 : this.periods.length);
    const variables = model.weights.map(variableOf);
    const attachment: Attachment = {model, mask, draw, optimizer, variables};
    if (takesSamplingPlan(optimizer)) {
      optimizer.setSamplingPlan({
        blockVariables: mask.blockVariables,
        onRefresh: (event) => this.events.emit('refresh', event),
      });
    }
    this.attachment = attachment;
    if (isNew) this.startAnew(model);
    this.sampling = sampling;
    this.blockNames = names.all;
    for (const weight of mask.weights) attached.set(weight, this);
    this.restoringOnError(() => this.goOn(attachment));
    this.sayOnce(leftOutLine(names));
    if (sampling && !options.probabilities && options.gamma === 'auto') {
      this.sayOnce(fittedGammaLine(sampling));
    }
    return attachment;
  }

  private startAnew(model: tfl.LayersModel): void {
    this.weights = model.weights;
    this.periods = [];
    this.counter = new StepCounter(this.options.initialStep);
  }

  /** Null if there is nothing to draw. */
  private probabilitiesOf(blocks: BlockNames): SamplingProbabilities | null {
    const {schedule, probabilities, scores, sampler} = this.options;
    if (schedule || blocks.candidates.length === 0) return null;
    return probabilities
      ? probabilitiesAsGiven(probabilities, blocks, sampler)
      : probabilitiesFromScores(scores, blocks, this.options);
  }

  /** Takes up the period in which an earlier training stopped. */
  private goOn({draw, mask}: Attachment): void {
    const {initialStep, interval} = this.options;
    while (this.periods.length * interval < initialStep) {
      this.periods.push(draw(this.periods.length));
    }
    if (this.periods.length > 0) mask.apply(this.activeBlocks);
  }

  /** Draws the blocks of the next period and turns them on. */
  private beginPeriod(attachment: Attachment): void {
    const {draw, mask} = attachment;
    const period = this.periods.length;
    const step = period * this.options.interval + 1;
    const before = this.activeBlocks;
    const blocks = draw(period);
    mask.apply(blocks);
    finishStepOfOthers(attachment, (isOn, isWaiting) => isWaiting !== isOn);
    this.periods.push(blocks);
    this.events.emit('sample', {step, period, blocks: [...blocks]});
    const frozen = before.filter((name) => !blocks.includes(name));
    const unfrozen = blocks.filter((name) => !before.includes(name));
    if (frozen.length + unfrozen.length > 0) this.events.emit('freeze', {step, frozen, unfrozen});
  }

  /** Throws if another callback is at work on the model; `fit` takes over from a loop that was left without `restore()`. */
  private takeOver(weights: readonly tfl.LayerVariable[]): void {
    for (const weight of weights) {
      const other = attached.get(weight);
      if (!other) continue;
      if (areInSameFit(other, this)) {
        throw new Error(
          `${owner}: another LayerSamplingCallback is at work on this model; use one at a time (restore() ends a loop of ` +
            'your own)',
        );
      }
      other.restore();
    }
  }

  /** Throws if a period may be without any block, for a model of which nothing else is on. */
  private checkNeverEmpty({probabilities, gamma}: SamplingProbabilities): void {
    const {sampler} = this.options;
    const mayBeEmpty =
      (sampler === 'bernoulli' && !probabilities.includes(1)) || (sampler === 'exact' && gamma < 1);
    if (!mayBeEmpty) return;
    throw new Error(
      `${owner}: with sampler '${sampler}' and gamma ${gamma} a period can be without any block, and alwaysOn picks no ` +
        "weight: there would be nothing to train; use sampler 'exact' with gamma >= 1, or keep something on",
    );
  }

  /**
   * Warns, once, if the training that begins is too short to visit the blocks; throws if it outlasts the schedule. What an
   * earlier training has left open counts as begun.
   */
  private checkLength({optimizer}: Attachment): void {
    const batches = batchesOfFit(this);
    if (batches === null) return;
    const {interval, schedule} = this.options;
    const {accumulate, accumulated} = takesSamplingPlan(optimizer)
      ? optimizer
      : {accumulate: 1, accumulated: 0};
    const steps = this.steps + Math.ceil((accumulated + batches) / accumulate);
    const periods = Math.ceil(steps / interval);
    if (schedule && periods > 0) replayPeriod(schedule, periods - 1);
    if (!this.sampling) return;
    const {probabilities, gamma} = this.sampling;
    const reachable = probabilities.filter((p) => p > 0).length;
    // The last period of a permutation may have fewer than γ blocks.
    const blocksOn =
      this.options.sampler === 'permutation' ? gamma : probabilities.reduce((sum, p) => sum + p, 0);
    // Whole ones: the sum of the probabilities is rounded.
    const visits = Math.round(periods * blocksOn);
    if (visits >= reachable || this.hasSaid('length')) return;
    console.warn(
      `${owner}: ${steps} steps make ${periods} periods of ${interval}, in which at most ${visits} of ` +
        `${reachable} blocks are trained; use a smaller interval or more steps`,
    );
  }

  private log(logs?: tfl.Logs): void {
    if (logs && this.rate !== undefined) logs.lr = this.rate;
  }

  private tellOfOpenStep({accumulate, accumulated}: PlannedOptimizer): void {
    if (accumulated === 0 || this.hasSaid('open step')) return;
    console.info(
      `${owner}: the last step has ${accumulated} of its ${accumulate} calls: it goes on in the next training, ` +
        'optimizer.flush() makes it of these, optimizer.dispose() drops them',
    );
  }

  private sayOnce(line: string | null): void {
    if (line !== null && !this.hasSaid(line)) console.info(line);
  }

  /** Whether this was asked before with the same words. */
  private hasSaid(what: string): boolean {
    const hasSaid = this.said.has(what);
    this.said.add(what);
    return hasSaid;
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

/** One line for the blocks that are left out; null if none is. */
function leftOutLine({all, candidates}: BlockNames): string | null {
  const leftOut = all.filter((name) => !candidates.includes(name));
  if (leftOut.length === 0) return null;
  return (
    `${owner}: blocks without a trainable weight are not drawn: ${leftOut.join(', ')} ` +
    `(${leftOut.length} of ${all.length})`
  );
}

/**
 * Makes the step at once that a training with other blocks has left open, so that none of them gets a part of a step.
 *
 * @param isOther Whether that shows in a variable, which is on now or not, and has a gradient that waits or not.
 */
function finishStepOfOthers(
  {optimizer, variables}: Attachment,
  isOther: (isOn: boolean, isWaiting: boolean) => boolean,
): void {
  if (!takesSamplingPlan(optimizer) || optimizer.accumulated === 0) return;
  const waiting = optimizer.accumulatedVariables;
  if (!variables.some(({name}) => waiting.has(name))) return;
  if (variables.some(({name, trainable}) => isOther(trainable, waiting.has(name)))) {
    optimizer.flush();
  }
}

/** Whether two lists, in any order, have the same weights, as those of a model before and after it was compiled again. */
function sameWeights(a: readonly tfl.LayerVariable[], b: readonly tfl.LayerVariable[]): boolean {
  const own = new Set(a);
  return own.size === new Set(b).size && b.every((weight) => own.has(weight));
}

/** Throws if `fit` calls the callback's methods on an object of its own. */
function checkReceiver(receiver: unknown): void {
  if (receiver instanceof LayerSamplingCallback) return;
  if (!isPlainObjectsReceiver(receiver)) throw new Error(anotherCopy('fit()'));
  throw new Error(
    `${owner}: fit() calls this callback as a plain object of functions: it stands in one array with objects like ` +
      '{onEpochEnd: …}, or was copied ({...callback}). Pass it as it is, and wrap each object: ' +
      'callbacks: [new tf.CustomCallback({onEpochEnd: …}), callback]',
  );
}

/** Throws for a model of another copy of tfjs-layers, and for what is no model. */
function checkCopy(model: unknown): void {
  if (model instanceof tfl.LayersModel) return;
  const isModel = typeof (model as {trainOnBatch?: unknown} | null)?.trainOnBatch === 'function';
  throw new Error(
    isModel
      ? anotherCopy('the model')
      : `${owner}: must have a tf.LayersModel; got ${String(model)}`,
  );
}

function anotherCopy(what: string): string {
  return (
    `${owner}: ${what} comes from another copy of @tensorflow/tfjs-layers than this library uses. In Node make them one ` +
    '(npm ls @tensorflow/tfjs-layers, npm dedupe). In a page that loads tfjs by a script tag tell the bundler that ' +
    "@tensorflow/tfjs-core and @tensorflow/tfjs-layers are its global tf ('externals'), or import tfjs and leave the tag out"
  );
}

/** Throws unless the model can be trained. */
function checkModel(
  model: tfl.LayersModel | undefined,
  optimizer: tf.Optimizer | undefined,
): asserts optimizer is tf.Optimizer {
  if (!model)
    throw new Error(`${owner}: has no model; call attach(model, optimizer) before step()`);
  if (!optimizer) {
    throw new Error(
      `${owner}: the model has no optimizer; call model.compile({optimizer, loss}) before training, or ` +
        'attach(model, optimizer) for a loop of your own',
    );
  }
  if (!isOptimizer(optimizer)) {
    throw new Error(
      `${owner}: the model's optimizer (${optimizer.getClassName?.() ?? 'unknown'}) comes from another copy of ` +
        '@tensorflow/tfjs-core than this library uses; make them one (npm ls @tensorflow/tfjs-core, npm dedupe)',
    );
  }
}
