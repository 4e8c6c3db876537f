/**
 * Algorithm 1 of the OwLore paper (Li et al. 2024, arXiv 2405.18380), for a model while it trains:
 *
 *     p ← γ·D / ΣD                                 how often each block is on, from the scores D of all
 *     for each step t = 0, 1, 2, …
 *       if t mod interval = 0                      a period begins:
 *         draw some blocks by p                    which may be replayed from an earlier run instead
 *         freeze all blocks, unfreeze those
 *       update what is not frozen                  what the optimizer does (`../optimizer`)
 */
import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {randomOfPeriod} from '../../common/random';
import {resolveBlocks} from '../../model/blocks';
import {variableOf} from '../../tfjs/models';
import {takesSamplingPlan, type SamplingPlan} from '../sampling_plan';
import {
  probabilitiesAsGiven,
  probabilitiesFromScores,
  type BlockNames,
} from './block_probabilities';
import {callbackName, type ResolvedLayerSamplingOptions} from './options';
import {drawnPeriods, replayedPeriods, type BlockHistory, type BlocksOfPeriod} from './periods';
import type {SamplingProbabilities} from './probabilities';
import {samplers} from './samplers';
import {TrainableBlocks} from './trainable_blocks';
import type {Training} from './training';

/** Between the seeds of the roundings of two periods: odd, and far from the small seeds that people choose. */
export const PERIOD_STEP = 0x9e3779b1;

/** A period that has begun. */
export interface BegunPeriod {
  /** 0, 1, … */
  period: number;
  /** Names of the blocks that are on. */
  blocks: readonly string[];
  /** Names of those that were on before. */
  before: readonly string[];
}

/** A model while its blocks are sampled. */
export class LayerSampling {
  readonly optimizer: tf.Optimizer;
  readonly blocks: BlockNames;
  /** p of each block that can train; null if nothing is drawn: a history is replayed, or no block can train. */
  readonly probabilities: SamplingProbabilities | null;
  private readonly draw: BlocksOfPeriod;
  private readonly model: tfl.LayersModel;
  private readonly trainable: TrainableBlocks;
  /** Of the draws. */
  private readonly seed: number;
  /** The variables of all weights of the model. */
  private readonly variables: readonly tf.Variable[];

  /**
   * Changes nothing in the model.
   *
   * @param weights The weights that a step hands to the optimizer.
   * @param history The periods that have been, to which each new one is added.
   * @throws Error if no weight can train, the scores are for other blocks, a period may be without any weight to train, …
   */
  constructor(
    {model, optimizer}: Training,
    weights: readonly tfl.LayerVariable[],
    options: ResolvedLayerSamplingOptions,
    private readonly history: Pick<BlockHistory, 'interval' | 'periods'>,
  ) {
    const {alwaysOn, blockHistory, scores, probabilities} = options;
    // A model of a single layer has nothing to draw, which is no fault unless something is to be drawn, or nothing else would train.
    const mayBeNone =
      alwaysOn !== false && typeof scores === 'string' && !blockHistory && !probabilities;
    const blocks = resolveBlocks(model, options.blocks, {mayBeNone});
    this.model = model;
    this.optimizer = optimizer;
    this.seed = options.seed;
    this.trainable = new TrainableBlocks(callbackName, model, weights, blocks, options.alwaysOn);
    this.blocks = {all: blocks.map(({name}) => name), candidates: this.trainable.names};
    this.probabilities = probabilitiesOf(this.blocks, options);
    const {hasAlwaysOn} = this.trainable;
    if (this.probabilities && !hasAlwaysOn) checkNeverEmpty(this.probabilities, options);
    const first = history.periods.length;
    this.draw = blockHistory
      ? replayedPeriods(callbackName, blockHistory, this.blocks)
      : drawnPeriods(this.probabilities, options, first);
    if (!hasAlwaysOn) checkReplayed(options, this.blocks, first);
    this.variables = model.weights.map(variableOf);
  }

  /** What comes before the update in step t = 0, 1, 2, …: the period that begins with it, or null. */
  beginStep(t: number): BegunPeriod | null {
    const {interval, periods} = this.history;
    const period = periods.length;
    const before = periods.at(-1) ?? [];
    if (t < period * interval) {
      this.keepOn(before, period - 1);
      return null;
    }
    const blocks = this.draw(period);
    this.changeTo(blocks, period);
    periods.push(blocks);
    return {period, blocks, before};
  }

  /** Draws for the periods before step t, which were trained elsewhere. */
  skipTo(t: number): void {
    const {interval, periods} = this.history;
    while (periods.length * interval < t) periods.push(this.draw(periods.length));
  }

  /**
   * Turns the blocks of a period on and the others off before each further step of it: a training may go on in its middle, and the
   * user may have set `layer.trainable` since the last step. If an open step has gradients of a block that is off, it is made first.
   */
  keepOn(blocks: readonly string[], period: number): void {
    this.trainable.turnOn(blocks);
    this.finishOpenStep((isOn, isWaiting) => isWaiting && !isOn);
    this.store(period);
  }

  /** Turns the blocks of a new period on and the others off. If an open step has other blocks than the period, it is made first. */
  changeTo(blocks: readonly string[], period: number): void {
    this.trainable.turnOn(blocks);
    this.finishOpenStep((isOn, isWaiting) => isWaiting !== isOn);
    this.store(period);
  }

  /** Makes every weight as trainable as the user left it, or has made it since. */
  restore(): void {
    this.trainable.restore();
  }

  /** All weights that it turns on and off. */
  get weights(): tfl.LayerVariable[] {
    return this.trainable.weights;
  }

  /** Whether this object belongs to the training, and the user has not changed what is trained since it was made. */
  isOf({model, optimizer}: Training): boolean {
    return this.model === model && this.optimizer === optimizer && !this.trainable.isOutdated;
  }

  /** Tells an optimizer that takes a plan which variables belong to blocks, and which of them are off. */
  tellOptimizer(listeners: Pick<SamplingPlan, 'onRefresh' | 'onStep'>): void {
    const {optimizer, trainable, blocks} = this;
    // Without blocks the optimizer trains as it does alone.
    if (!takesSamplingPlan(optimizer) || blocks.all.length === 0) return;
    const {blockVariables} = trainable;
    optimizer.setSamplingPlan({
      blockVariables,
      ...listeners,
      get frozenVariables() {
        return trainable.frozenVariables;
      },
    });
  }

  /**
   * Packs and unpacks weights, where the model keeps frozen ones packed. How they are rounded follows from the seed and the period,
   * so that a training that goes on from a checkpoint rounds as the one that did not stop.
   */
  private store(period: number): void {
    const random = randomOfPeriod(this.seed, period, PERIOD_STEP);
    this.trainable.store(() => Math.floor(random.next() * 2 ** 32));
  }

  /**
   * If a training with other blocks has left a step open, makes it now, so that no block gets a part of a step.
   *
   * @param isOther Decides from one variable whether the blocks are others: from whether it is on now, and whether a gradient
   *   of it waits.
   */
  private finishOpenStep(isOther: (isOn: boolean, isWaiting: boolean) => boolean): void {
    const {optimizer, variables} = this;
    if (!takesSamplingPlan(optimizer)) return;
    const waiting = optimizer.accumulatedVariables;
    if (!variables.some(({name}) => waiting.has(name))) return;
    if (variables.some(({name, trainable}) => isOther(trainable, waiting.has(name)))) {
      optimizer.flush();
    }
  }
}

function probabilitiesOf(
  blocks: BlockNames,
  options: ResolvedLayerSamplingOptions,
): SamplingProbabilities | null {
  const {blockHistory, probabilities, scores, sampler} = options;
  if (blockHistory || blocks.candidates.length === 0) return null;
  return probabilities
    ? probabilitiesAsGiven(callbackName, probabilities, blocks, sampler)
    : probabilitiesFromScores(callbackName, scores, blocks, options);
}

/** Throws if a period may be without any block in a model where nothing else is on. */
function checkNeverEmpty(
  sampling: SamplingProbabilities,
  {sampler}: ResolvedLayerSamplingOptions,
): void {
  if (!samplers[sampler].canBeEmpty(sampling)) return;
  throw new Error(
    `${callbackName}: with sampler '${sampler}' and gamma ${sampling.gamma} a period can be without any block, and alwaysOn ` +
      "picks no weight; use sampler 'exact' with gamma >= 1, or keep something on",
  );
}

/** The same for the periods of a history from period `first` on, or from the one of `initialStep`. */
function checkReplayed(
  {blockHistory, initialStep}: ResolvedLayerSamplingOptions,
  {candidates}: BlockNames,
  first: number,
): void {
  if (!blockHistory) return;
  const over = Math.max(first, Math.floor(initialStep / blockHistory.interval));
  for (const [period, names] of blockHistory.periods.entries()) {
    if (period < over || names.some((name) => candidates.includes(name))) continue;
    throw new Error(
      `${callbackName}: period ${period} of the blockHistory has no block that can train ([${names.join(', ')}]), and ` +
        'alwaysOn picks no weight; unfreeze one of its blocks, or keep something on',
    );
  }
}
