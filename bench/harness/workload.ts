import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src';
import {createLlama, sparseCrossEntropy, type LlamaConfig} from '../../src/llama';
import * as composed from '../../tools/composed';
import {createComposedLlama} from '../../tools/composed_model';

/** The reference workload, W1: a LLaMA-style model of 6.59 million parameters, and the batches that it is trained on. */
export const referenceShape = {
  layers: 8,
  hidden: 256,
  intermediate: 688,
  heads: 8,
  vocabulary: 512,
  batch: 8,
  length: 128,
};

export type Shape = typeof referenceShape;

/** W1, or one so small that a step takes milliseconds, with the same blocks. */
export function shapeOf({tiny}: {tiny: boolean}): Shape {
  if (!tiny) return referenceShape;
  return {
    ...referenceShape,
    ...{hidden: 32, intermediate: 64, heads: 2, vocabulary: 64, batch: 2, length: 16},
  };
}

/** Which layers train: all, or those that are named. */
export type TrainedSet = 'all' | readonly string[];

function blocks(...numbers: number[]): string[] {
  return numbers.map((number) => `model.layers.${number}`);
}

const embedding = 'model.embed_tokens';
const head = ['model.norm', 'lm_head'];

export const trainedSets = {
  full: 'all',
  lisa: [embedding, ...blocks(3, 6), ...head],
  frozenEmbedding: [...blocks(3, 6), ...head],
  lastBlock: [...blocks(7), ...head],
  owlore: [embedding, ...blocks(1, 3, 4, 6), ...head],
} as const satisfies Record<string, TrainedSet>;

/**
 * How a step is done: as tfjs users write it, all of tfjs's own ops and `tf.train.adam`; or with this library's optimizer,
 * its `LlamaModel` and its loss, without or with checkpoints.
 */
export type Variant = 'stock' | 'none' | 'auto';

export type TrainedSetName = keyof typeof trainedSets;

export const variantTitles: Record<Variant, string> = {
  stock: 'stock',
  none: 'no checkpoints',
  auto: 'checkpoints',
};

/**
 * So small that the losses of two runs that round differently stay equal for 20 steps; at ten times this rate they differ after
 * 15 steps.
 */
const LEARNING_RATE = 1e-4;

/** Makes this library's optimizer do what `tf.train.adam(LEARNING_RATE)` does, which does not look for NaN either. */
export const adamOptions: OwLoreOptions = {
  learningRate: LEARNING_RATE,
  epsilon: 1e-7,
  project: false,
  nonFinite: 'ignore',
};

/** OwLore's low-rank update of the blocks, at a rank of a quarter of the width, and Adam on the rest. */
export function owloreOptions({hidden}: Shape): OwLoreOptions {
  return {
    ...adamOptions,
    project: new RegExp(blocks(0)[0]!.replace('0', '')),
    rank: hidden / 4,
  };
}

export interface TrainingOptions {
  shape: Shape;
  trained: TrainedSet;
  variant: Variant;
  /** Whether this library's optimizer trains the model of the stock variant: with its ops and loss. Default: false. */
  plainOps?: boolean;
  /** For this library's optimizer. Default {@link adamOptions}. */
  optimizer?: OwLoreOptions;
  /** The option of `createLlama`. Default: true if the vocabulary is at least 16 times the width. */
  headInLoss?: boolean;
}

/** A model that is trained on one batch of random token ids, each labelled with the next. */
export class Training {
  readonly model: tfl.LayersModel;
  private readonly optimizer: tf.Optimizer;
  /** Token ids and labels. */
  readonly batch: [tf.Tensor, tf.Tensor];

  constructor({shape, trained, variant, optimizer = adamOptions, ...rest}: TrainingOptions) {
    const {plainOps = false, headInLoss = shape.vocabulary >= 16 * shape.hidden} = rest;
    const config: LlamaConfig = {
      vocabSize: shape.vocabulary,
      hiddenSize: shape.hidden,
      intermediateSize: shape.intermediate,
      numHiddenLayers: shape.layers,
      numAttentionHeads: shape.heads,
      maxPositionEmbeddings: shape.length,
      seed: 1,
    };
    const isStock = variant === 'stock';
    const isComposed = isStock || plainOps;
    // Which kernels there are is for the bench to say.
    this.model = isComposed
      ? createComposedLlama(config)
      : createLlama({...config, headInLoss}, {kernels: 'none'});
    this.optimizer = isStock
      ? tf.train.adam(LEARNING_RATE)
      : new OwLoreOptimizer({...optimizer, gradientCheckpointing: variant, kernels: 'none'});
    this.model.compile({
      optimizer: this.optimizer,
      loss: isComposed ? composed.sparseCrossEntropy : sparseCrossEntropy,
    });
    for (const layer of this.model.layers) {
      const isOn = trained === 'all' || trained.includes(layer.name);
      for (const weight of layer.weights) weight.trainable = isOn;
    }
    this.batch = createBatch(shape);
  }

  /** One step; its loss. */
  async step(): Promise<number> {
    return (await this.model.trainOnBatch(...this.batch)) as number;
  }

  /** One step whose loss nobody reads. */
  stepUnread(): void {
    // tfjs-layers declares it protected
    const model = this.model as unknown as {
      makeTrainFunction(): (batch: tf.Tensor[]) => tf.Tensor[];
    };
    tf.dispose(model.makeTrainFunction()([...this.batch]));
  }

  dispose(): void {
    this.model.dispose();
    this.optimizer.dispose();
    tf.dispose(this.batch);
  }
}

function createBatch({batch, length, vocabulary}: Shape): [ids: tf.Tensor, labels: tf.Tensor] {
  const shape: [number, number] = [batch, length + 1];
  const tokens = tf.tidy(() =>
    tf.randomUniform<tf.Rank.R2>(shape, 0, vocabulary, 'int32', 1).arraySync(),
  );
  // of numbers, which are known on a backend that computes nothing
  const ids = tokens.flatMap((row) => row.slice(0, length));
  const labels = tokens.flatMap((row) => row.slice(1));
  return [tf.tensor(ids, [batch, length], 'int32'), tf.tensor(labels, [batch, length, 1], 'int32')];
}
