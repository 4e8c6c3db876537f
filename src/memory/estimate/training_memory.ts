/** The memory of a training, measured: the real optimizer makes two steps of a model on a backend that knows shapes alone. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {LayerSampling} from '../../owlore/sampling/layer_sampling';
import {resolveLayerSamplingOptions} from '../../owlore/sampling/options';
import {OwLoreLeftSingularVectors} from '../../kernels/kernel_names';
import {runKernel} from '../../kernels/run_kernel';
import {adapt, checkModel} from '../../lora/lora';
import {loraDefaults} from '../../lora/lora_options';
import {targetedMatrices} from '../../lora/matrices';
import {startMemoryMeter} from '../meter';
import {paperMethods, type MethodParts} from '../../methods';
import type {BasisFunction, OwLoreOptions} from '../../owlore/optimizer/options';
import * as refreshes from '../../owlore/optimizer/step/refreshes';
import {refreshes as refreshesOnDemand} from '../../owlore/optimizer/step/update';
import {OwLoreOptimizer} from '../../owlore/owlore_optimizer';
import {isInScope, withOtherData} from '../../tfjs/engine';
import {trainedModel, weightsToTrain} from '../../tfjs/models';
import type {ResolvedEstimateOptions} from './options';

/** Bytes by what they are of; see `MemoryEstimate`. */
export type Bytes = Record<'weights' | 'gradients' | 'state' | 'activations', number>;

/** What a training takes, and its largest tensor. */
export type Measured = Bytes & Record<'largest', number>;

/** What a training is about. */
export interface Trained {
  model: tfl.LayersModel;
  loss: Parameters<tfl.LayersModel['compile']>[0]['loss'];
  /** Variables of the model that have data on another backend. */
  variables?: readonly tf.Variable[];
  /** Makes inputs and labels of a batch. */
  batch(): tf.Tensor[];
  /** Options of the optimizer beside those of the estimate. */
  optimizer?: Pick<OwLoreOptions, 'project'>;
}

/** The first step makes bases and moments, the second one is as all others. */
const STEPS = 2;

/** Calls of a step that are run: the first begins sums, those that follow add to them, the last moves the weights. */
const MAX_CALLS = 3;

/**
 * Bytes at the moment of a step at which most are there, as the memory meter counts them.
 *
 * @param make Makes model and batches, on the backend that knows shapes alone, which is the current one.
 */
export function trainingMemory(
  owner: string,
  make: () => Trained,
  options: ResolvedEstimateOptions,
): Measured {
  // what a page would load
  if (!refreshesOnDemand.loaded) refreshesOnDemand.provide(refreshes);
  const activations = new Set<object>();
  let [kept, largest] = [0, 0];
  let peak = {total: 0, activations: 0};
  const meter = startMemoryMeter({
    onAllocate(buffer, bytes) {
      if (isInScope('forward')) {
        activations.add(buffer);
        kept += bytes;
      }
      largest = Math.max(largest, bytes);
      const total = meter.current();
      if (total > peak.total) peak = {total, activations: kept};
    },
    onFree(buffer, bytes) {
      if (activations.delete(buffer)) kept -= bytes;
    },
  });
  const run = (trained: Trained): Measured => {
    const training = new Training(owner, trained, options);
    try {
      const weights = meter.current();
      peak = {total: 0, activations: 0};
      for (let step = 0; step < STEPS; step++) {
        for (let i = 0; i < Math.min(options.accumulate, MAX_CALLS); i++)
          tf.tidy(() => training.call(trained.batch()));
      }
      const rest = peak.total - weights - peak.activations;
      // if most is there in the first step, the state is still to come
      const state = Math.min(training.stateBytes, rest);
      return {weights, state, gradients: rest - state, activations: peak.activations, largest};
    } finally {
      training.end();
    }
  };
  try {
    const trained = make();
    return withOtherData(trained.variables ?? [], () => run(trained));
  } finally {
    meter.stop();
  }
}

/** A training that is under way. */
class Training {
  private readonly optimizer: OwLoreOptimizer;
  private readonly trainOn: (tensors: tf.Tensor[]) => tf.Tensor[];
  private readonly undo: Array<() => void> = [];

  constructor(
    owner: string,
    {model, loss, optimizer: given = {}}: Trained,
    options: ResolvedEstimateOptions,
  ) {
    const {method, rank, gradientCheckpointing, accumulate, update, basis, targets, dropout} =
      options;
    const {lowRank, sampling, lora: isLora = false}: MethodParts = paperMethods[method];
    const optimizer = new OwLoreOptimizer({
      project: lowRank ? 'auto' : false,
      ...(!isLora && {rank}),
      ...{gradientCheckpointing, accumulate: Math.min(accumulate, MAX_CALLS)},
      ...{update, kernels: 'none'},
      ...(basis === 'svd' && {basis: exactBasis}),
      ...given,
    });
    this.optimizer = optimizer;
    if (isLora) {
      checkModel(owner, model);
      const matrices = targetedMatrices(owner, model, targets);
      const lora = adapt(owner, model, matrices, {...loraDefaults, rank, targets, dropout});
      this.undo.push(() => lora.remove());
    }
    // What `compile` sets must not stay with a user's model.
    const own = Object.create(model) as tfl.LayersModel;
    own.compile({optimizer, loss});
    const compiled = trainedModel(own);
    // tfjs-layers declares it protected
    const {makeTrainFunction} = compiled as unknown as {
      makeTrainFunction(): (tensors: tf.Tensor[]) => tf.Tensor[];
    };
    this.trainOn = makeTrainFunction.call(compiled);
    if (!sampling) return;
    const sampled = new LayerSampling(
      {model: compiled, optimizer},
      weightsToTrain(compiled),
      resolveLayerSamplingOptions({scores: 'uniform', ...sampling, sampler: 'exact', gamma: 1}),
      {interval: 1, periods: []},
    );
    this.undo.push(() => sampled.restore());
    sampled.tellOptimizer({onRefresh: () => undefined, onStep: () => undefined});
    sampled.changeTo(blocksOn(sampled.blocks.candidates, options.gamma), 0);
  }

  get stateBytes(): number {
    return this.optimizer.stateBytes;
  }

  /** A call of the optimizer. */
  call(tensors: tf.Tensor[]): void {
    this.trainOn(tensors);
  }

  /** Makes the model what it was. */
  end(): void {
    for (const undo of this.undo.splice(0).reverse()) undo();
    this.optimizer.dispose();
  }
}

/** Of the blocks the first one, so that the backward pass goes through all, and others at equal distances. */
export function blocksOn<T>(blocks: readonly T[], gamma: number): T[] {
  const count = Math.min(blocks.length, Math.ceil(gamma));
  return Array.from({length: count}, (_, i) => blocks[Math.floor((i * blocks.length) / count)]!);
}

/** Stands for the exact basis, which is computed on the host where there is no kernel for it. */
const exactBasis: BasisFunction = (gradient, rank) => {
  const vectors = runKernel(OwLoreLeftSingularVectors, {matrix: gradient})?.[0];
  const {shape} = gradient;
  return vectors
    ? tf.slice(vectors as tf.Tensor2D, [0, 0], [shape[0], rank])
    : tf.fill([shape[0], rank], 0);
};
