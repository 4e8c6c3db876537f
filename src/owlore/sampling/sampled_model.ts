import type * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {callbackName, type ResolvedLayerSamplingOptions} from './options';
import {resolveBlocks} from '../../model/blocks';
import {TrainableBlocks} from './trainable_blocks';
import {randomOfPeriod} from '../../common/random';
import {
  probabilitiesAsGiven,
  probabilitiesFromScores,
  type BlockNames,
} from './block_probabilities';
import {drawnPeriods, replayedPeriods, type BlocksOfPeriod} from './periods';
import type {SamplingProbabilities} from './probabilities';
import {samplers} from './samplers';
import {takesSamplingPlan, type SamplingPlan} from '../sampling_plan';
import {variableOf} from '../../tfjs/models';
import type {Training} from './training';

/** Between the seeds of the roundings of two periods: odd, and far from the small seeds that people choose. */
export const PERIOD_STEP = 0x9e3779b1;

/** A model while its blocks are sampled: which blocks are drawn from, and which are on. */
export class SampledModel {
  readonly optimizer: tf.Optimizer;
  readonly blocks: BlockNames;
  /** Null if nothing is drawn: a history is replayed, or no block can train. */
  readonly sampling: SamplingProbabilities | null;
  /** Gives the blocks of one period after the other. */
  readonly blocksOf: BlocksOfPeriod;
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
   * @param firstPeriod The number of the first period that will be asked for.
   * @throws Error if no weight can train, the scores are for other blocks, a period may be without any weight to train, …
   */
  constructor(
    {model, optimizer}: Training,
    weights: readonly tfl.LayerVariable[],
    options: ResolvedLayerSamplingOptions,
    firstPeriod: number,
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
    this.sampling = probabilitiesOf(this.blocks, options);
    if (this.sampling && !this.trainable.hasAlwaysOn) checkNeverEmpty(this.sampling, options);
    this.blocksOf = options.blockHistory
      ? replayedPeriods(callbackName, options.blockHistory, this.blocks)
      : drawnPeriods(this.sampling, options, firstPeriod);
    if (!this.trainable.hasAlwaysOn) checkReplayed(options, this.blocks, firstPeriod);
    this.variables = model.weights.map(variableOf);
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
   * Turns the blocks of a period on and the others off before each further step of it: a training may go on in its middle, and the
   * user may have set `layer.trainable` since the last step. If an open step has gradients of a block that is off, it is made first.
   */
  keepOn(blocks: readonly string[], period: number): void {
    this.trainable.turnOn(blocks);
    this.finishOpenStep((isOn, isWaiting) => isWaiting && !isOn);
    this.store(period);
  }

  /** Does so at the beginning of the period. If an open step has other blocks than the period, it is made first. */
  changeTo(blocks: readonly string[], period: number): void {
    this.trainable.turnOn(blocks);
    this.finishOpenStep((isOn, isWaiting) => isWaiting !== isOn);
    this.store(period);
  }

  /** Makes every weight as trainable as the user left it, or has made it since. */
  restore(): void {
    this.trainable.restore();
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

/** The same for the periods of a history that come from period `first` on. */
function checkReplayed(
  {blockHistory}: ResolvedLayerSamplingOptions,
  {candidates}: BlockNames,
  first: number,
): void {
  for (const [period, names] of (blockHistory?.periods ?? []).entries()) {
    if (period < first || names.some((name) => candidates.includes(name))) continue;
    throw new Error(
      `${callbackName}: period ${period} of the blockHistory has no block that can train ([${names.join(', ')}]), and ` +
        'alwaysOn picks no weight; unfreeze one of its blocks, or keep something on',
    );
  }
}
