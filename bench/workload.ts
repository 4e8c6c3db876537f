import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {createLlama, sparseCrossEntropy} from '../src/llama';

/** The reference workload, W1: a LLaMA-style model of 6.59 million parameters, and how it is trained. */
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

/** Which layers train: all, or those that are named. */
export type TrainedSet = 'all' | readonly string[];

export const trainedSets: Record<string, TrainedSet> = {
  'all 8 blocks, embedding, head': 'all',
  '2 of 8 blocks, embedding, head': [
    'model.embed_tokens',
    'model.layers.3',
    'model.layers.6',
    'model.norm',
    'lm_head',
  ],
  '2 of 8 blocks, head': ['model.layers.3', 'model.layers.6', 'model.norm', 'lm_head'],
  'block 7, head': ['model.layers.7', 'model.norm', 'lm_head'],
};

/** The model, compiled, with random token ids that are their own labels. */
export function createWorkload(
  shape: Shape,
  optimizer: tf.Optimizer,
  trained: TrainedSet,
): {model: tfl.LayersModel; ids: tf.Tensor; labels: tf.Tensor} {
  const model = createLlama({
    vocabSize: shape.vocabulary,
    hiddenSize: shape.hidden,
    intermediateSize: shape.intermediate,
    numHiddenLayers: shape.layers,
    numAttentionHeads: shape.heads,
    maxPositionEmbeddings: shape.length,
    seed: 1,
  });
  for (const layer of model.layers) {
    const isOn = trained === 'all' || trained.includes(layer.name);
    for (const weight of layer.weights) weight.trainable = isOn;
  }
  model.compile({optimizer, loss: sparseCrossEntropy});
  const ids = tf.randomUniform([shape.batch, shape.length], 0, shape.vocabulary, 'int32', 1);
  return {model, ids, labels: tf.expandDims(ids, 2)};
}
