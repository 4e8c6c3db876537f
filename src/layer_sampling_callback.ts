import {EventEmitter} from 'events';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type TypedEmitter from 'typed-emitter';
import {
  resolveLayerSamplingOptions,
  type LayerSamplingOptions,
  type ResolvedLayerSamplingOptions,
} from './layer_sampling_options';
import {resolveBlocks} from './model/blocks';
import {BlockMask} from './model/block_mask';
import {whenFitEnds} from './model/fit_end';
import {sameWeights, trainedModel, weightsToTrain} from './model/trained_model';
import {
  fittedGammaLine,
  probabilitiesAsGiven,
  probabilitiesFromScores,
  type BlockNames,
} from './sampling/block_probabilities';
import type {SamplingProbabilities} from './sampling/probabilities';
import {createDrawer, replayDrawer, type Drawer} from './sampling/drawer';
import {replayPeriod, type SamplingSchedule} from './sampling/schedule';
import {takesSamplingPlan, type RefreshEvent} from './sampling_plan';

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
  /** Calls of the optimizer that make one step. */
  accumulate: number;
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
  /** Batches begun so far. */
  private batches = 0;
  /** Lines that were printed. */
  private readonly said = new Set<string>();

  /** @throws Error that names the option, its value and what is allowed. */
  constructor(options: LayerSamplingOptions = {}) {
    super();
    this.options = resolveLayerSamplingOptions(options);
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
   * Begins a batch; to be called before each `trainOnBatch` in a loop of one's own, after `setModel(model)` once.
   * `fit` and `fitDataset` do it by themselves.
   *
   * @throws Error if the model is not compiled, the scores are for other blocks, …; the model is then as it was.
   */
  step(): void {
    const attachment = this.attach();
    const batchesPerPeriod = attachment.accumulate * this.options.interval;
    this.restoringOnError(() => {
      if (this.batches % batchesPerPeriod === 0) this.beginPeriod(attachment);
      // layer.trainable, which may have been set back and forth since the last step, sets that of the variables.
      else attachment.mask.apply(this.activeBlocks);
    });
    this.batches++;
  }

  /** Makes every weight as trainable as it was before training; to be called after a loop of one's own, best in a `finally`. */
  restore(): void {
    if (!this.attachment) return;
    const {mask} = this.attachment;
    mask.restore();
    for (const weight of mask.weights) attached.delete(weight);
    this.attachment = null;
  }

  override setModel(model: tfl.LayersModel): void {
    if (model !== this.model) this.restore();
    super.setModel(model);
  }

  override async onTrainBegin(): Promise<void> {
    checkReceiver(this);
    const {accumulate} = this.attach();
    whenFitEnds(this.model, () => this.restore());
    this.restoringOnError(() => this.checkLength(accumulate));
  }

  override async onBatchBegin(): Promise<void> {
    this.step();
  }

  override async onTrainEnd(): Promise<void> {
    const {optimizer} = this.model;
    this.restore();
    if (takesSamplingPlan(optimizer)) await optimizer.settled();
  }

  /**
   * Looks at the model, once for each training and when the user has changed what is trained, and tells its optimizer. If it
   * throws, the model is as it was.
   */
  private attach(): Attachment {
    checkModel(this.model);
    const model = trainedModel(this.model);
    const {attachment: present} = this;
    if (present?.model === model && !present.mask.isOutdated) return present;
    this.restore();
    this.takeOver(model);
    const isNew = !sameWeights(this.weights, model.weights);
    const {options} = this;
    const blocks = resolveBlocks(model, options.blocks);
    const mask = new BlockMask(model, blocks, options.alwaysOn);
    const names = {all: blocks.map(({name}) => name), candidates: mask.candidates};
    const sampling = this.probabilitiesOf(names);
    if (sampling && !mask.hasAlwaysOn) this.checkNeverEmpty(sampling);
    const draw = options.schedule
      ? replayDrawer(options.schedule, names)
      : createDrawer(sampling, options, isNew ? 0 : this.periods.length);
    const planned = takesSamplingPlan(model.optimizer) ? model.optimizer : null;
    const attachment: Attachment = {model, mask, draw, accumulate: planned?.accumulate ?? 1};
    planned?.setSamplingPlan({
      blockVariables: mask.blockVariables,
      onRefresh: (event) => this.events.emit('refresh', event),
    });
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
    this.batches = 0;
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
  private goOn({draw, mask, accumulate}: Attachment): void {
    const {initialStep, interval} = this.options;
    if (this.batches === 0 && initialStep > 0) {
      this.batches = initialStep * accumulate;
      while (this.periods.length * interval < initialStep) {
        this.periods.push(draw(this.periods.length));
      }
    }
    if (this.periods.length > 0) mask.apply(this.activeBlocks);
  }

  /** Draws the blocks of the next period and turns them on. */
  private beginPeriod({draw, mask}: Attachment): void {
    const period = this.periods.length;
    const step = period * this.options.interval + 1;
    const before = this.activeBlocks;
    const blocks = draw(period);
    mask.apply(blocks);
    this.periods.push(blocks);
    this.events.emit('sample', {step, period, blocks: [...blocks]});
    const frozen = before.filter((name) => !blocks.includes(name));
    const unfrozen = blocks.filter((name) => !before.includes(name));
    if (frozen.length + unfrozen.length > 0) this.events.emit('freeze', {step, frozen, unfrozen});
  }

  /** Throws if another callback is at work on the model; `fit` takes over from a loop that was left without `restore()`. */
  private takeOver(model: tfl.LayersModel): void {
    for (const weight of weightsToTrain(model)) {
      const other = attached.get(weight);
      if (!other) continue;
      if (other.params === this.params) {
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

  /** Warns if the training that begins is too short to visit the blocks; throws if it outlasts the schedule. */
  private checkLength(accumulate: number): void {
    const batches = batchesOf(this.params);
    if (batches === null) return;
    const {interval, schedule} = this.options;
    const steps = Math.floor((this.batches + batches) / accumulate);
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
    if (visits >= reachable) return;
    console.warn(
      `${owner}: ${steps} steps make ${periods} periods of ${interval}, in which at most ${visits} of ` +
        `${reachable} blocks are trained; use a smaller interval or more steps`,
    );
  }

  private sayOnce(line: string | null): void {
    if (line === null || this.said.has(line)) return;
    this.said.add(line);
    console.info(line);
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

/** Batches that `fit` is going to train on; null if it does not know. */
function batchesOf(params: tfl.Callback['params'] | undefined): number | null {
  const {epochs, initialEpoch, steps, samples, batchSize} = (params ?? {}) as Partial<
    Record<string, number>
  >;
  const perEpoch = steps ?? (samples && batchSize ? Math.ceil(samples / batchSize) : undefined);
  if (epochs === undefined || perEpoch === undefined) return null;
  return (epochs - (initialEpoch ?? 0)) * perEpoch;
}

/**
 * Throws if `fit` has wrapped this callback: it takes every entry of an array as a plain object of functions when the
 * first one is, and calls them on an object of its own.
 */
function checkReceiver(receiver: unknown): void {
  if (receiver instanceof LayerSamplingCallback) return;
  throw new Error(
    `${owner}: fit() got callbacks of two kinds and calls this one as a plain object; an array of callbacks must not mix ` +
      'objects like {onBatchEnd: …} with instances of tf.Callback: wrap the objects in a class that extends tf.Callback',
  );
}

/** Throws unless the model can be trained. */
function checkModel(model: tfl.LayersModel | undefined): asserts model is tfl.LayersModel {
  if (!model) throw new Error(`${owner}: has no model; call setModel(model) before step()`);
  const optimizer = model.optimizer as tf.Optimizer | undefined;
  if (!optimizer) {
    throw new Error(
      `${owner}: the model has no optimizer; call model.compile({optimizer, loss}) before training`,
    );
  }
  if (!Object.prototype.isPrototypeOf.call(tf.Optimizer.prototype, optimizer)) {
    throw new Error(
      `${owner}: the model's optimizer (${optimizer.getClassName?.() ?? 'unknown'}) comes from another copy of ` +
        '@tensorflow/tfjs-core than this library uses; make them one (npm ls @tensorflow/tfjs-core, npm dedupe)',
    );
  }
}
