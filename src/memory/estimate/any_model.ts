/** The memory of a training of a model that is not LLaMA-style. */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {targetedMatrices} from '../../lora/matrices';
import {paperMethods, trainsRest, type MethodParts} from '../../methods';
import {resolveBlocks} from '../../model/blocks';
import {allLayers, isModel, leafLayers, type Layer} from '../../tfjs/layer_tree';
import {owloreDefaults} from '../../owlore/optimizer/options';
import {Projections, projectedShape, stateSize} from '../../owlore/optimizer/state/projector';
import {updateRules} from '../../owlore/optimizer/rules';
import {sayOnce} from '../../common/say_once';
import {isRecomputed} from '../../tape/recompute_layers';
import {variableOf} from '../../tfjs/models';
import {
  resolveEstimateOptions,
  type EstimateOptions,
  type ResolvedEstimateOptions,
} from './options';
import {onShapes, UnknownValues} from './shape_backend';
import {numbersIn, type Shape} from './sizes';
import {blocksOn, trainingMemory, type Bytes} from './training_memory';

/** Bytes of a number. */
const FLOAT = 4;

/** @throws Error that names the option if one is wrong, or only for LLaMA-style models. */
export function anyModelMemory(
  owner: string,
  model: tfl.LayersModel,
  given: EstimateOptions,
): Bytes {
  // a method that draws no blocks trains any model, and all weights alike; a wrong method is refused below
  const parts: MethodParts | undefined = paperMethods[given.method ?? 'owlore'];
  const blocks = parts?.sampling ? resolveBlocks(model).length : 0;
  const options = resolveEstimateOptions(owner, given, {blocks, maxPositions: Infinity});
  const {embedding, frozenDtype, engine, countedLabels} = given;
  const llamaOptions = Object.entries({
    ...{embedding, frozenDtype, countedLabels},
    engine: engine === 'torch' ? engine : undefined,
  });
  const [only] = llamaOptions.filter(([, value]) => value !== undefined);
  if (only)
    throw new Error(`${owner}: ${only[0]} '${only[1]}' is for models of loadLlama and createLlama`);
  try {
    if (allLayers(model).some(({layer}) => layer.stateful)) throw new UnknownValues();
    return measured(owner, model, options);
  } catch (error) {
    // tfjs's error of an op whose kernel the backend does not have
    const isUnknownKernel =
      error instanceof Error && /^Kernel '.*not registered/.test(error.message);
    if (!(error instanceof UnknownValues || isUnknownKernel)) throw error;
    sayOnce(
      'warn',
      `${owner}: '${model.name}' has a layer that reads values of tensors, keeps a state, or runs a kernel of its own: its gradients ` +
        'and activations are a rough guess from what its layers put out',
    );
    return guessed(owner, model, options);
  }
}

function meanSquaredError(labels: tf.Tensor, outputs: tf.Tensor): tf.Tensor {
  return tf.losses.meanSquaredError(labels, outputs);
}

/** Of two steps on shapes alone. The model is left as it was. */
function measured(owner: string, model: tfl.LayersModel, options: ResolvedEstimateOptions): Bytes {
  const {backend, batchSize, maxLength} = options;
  const flags = model.weights.map((weight) => [weight, weight.trainable] as const);
  const variables = model.weights.map(variableOf);
  const trainable = variables.map((variable) => variable.trainable);
  // of a model that was not compiled
  const loss = model.loss ?? meanSquaredError;
  const sizesOf = ({shape}: {shape: tfl.Shape}): number[] =>
    shape.map((size, axis) => size ?? (axis === 0 ? batchSize : maxLength));
  const trained = {
    ...{model, loss, variables},
    batch: () => [
      ...model.inputs.map((input) => tf.fill(sizesOf(input), 0, input.dtype)),
      ...model.outputs.map((output, i) => {
        const shape = sizesOf(output);
        const outputLoss = Array.isArray(loss) ? loss[i] : loss;
        const isId = outputLoss === 'sparseCategoricalCrossentropy';
        return tf.fill(isId ? [...shape.slice(0, -1), 1] : shape, 0);
      }),
    ],
  };
  try {
    return onShapes(backend, () => trainingMemory(owner, () => trained, options));
  } finally {
    for (const [weight, flag] of flags) weight.trainable = flag;
    variables.forEach((variable, i) => (variable.trainable = trainable[i]!));
  }
}

/** Weights and state by their shapes, and what else there is by the outputs of the layers. */
function guessed(owner: string, model: tfl.LayersModel, options: ResolvedEstimateOptions): Bytes {
  const {method, rank, targets, accumulate, update} = options;
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const {needsWholeGradient} = updateRules[update];
  const blocks = sampling ? resolveBlocks(model) : [];
  const isTrainable = new Set(model.trainableWeights);
  const on = new Set(blocksOn(blocks, options.gamma).flatMap(({weights}) => weights));
  const inBlocks = new Set(blocks.flatMap(({weights}) => weights));
  const matrices = lora ? targetedMatrices(owner, model, targets) : [];
  const adapters = matrices.flatMap(({weight}) => weight.shape.map((size) => [size!, rank]));
  const project = lowRank ? 'auto' : false;
  const projections = new Projections({project, rank, side: owloreDefaults.side});
  // without a callback the optimizer does not know blocks
  if (sampling) projections.setBlocks(new Set([...inBlocks].map(({name}) => name)));
  const trained = model.weights.filter(
    (weight) =>
      isTrainable.has(weight) && (inBlocks.has(weight) ? on.has(weight) : trainsRest(method)),
  );
  const planned = [
    ...trained.map(({name, shape}) => ({
      shape: shape as number[],
      projection: projections.of({name, shape: shape as number[]}),
    })),
    ...adapters.map((shape) => ({shape, projection: null})),
  ];
  const sum = (numbers: (weight: (typeof planned)[number]) => number): number =>
    FLOAT * planned.reduce((all, weight) => all + numbers(weight), 0);
  const waiting = sum(({shape, projection}) =>
    numbersIn([
      ...(projection ? [projectedShape(projection)] : []),
      ...(projection && !needsWholeGradient ? [] : [shape]),
    ]),
  );
  const outputs = outputsOf(model, options);
  const gradients = waiting + FLOAT * Math.max(0, ...planned.map(({shape}) => numbersIn([shape])));
  return {
    weights: FLOAT * numbersIn([...model.weights.map(({shape}) => shape as number[]), ...adapters]),
    state: sum(({shape, projection}) =>
      projection ? stateSize(projection) + (needsWholeGradient ? 1 : 0) : 2 * numbersIn([shape]),
    ),
    // most is there at the end of the backward pass, or at its beginning
    ...(gradients > outputs
      ? {gradients, activations: 0}
      : {gradients: accumulate > 1 ? waiting : 0, activations: outputs}),
  };
}

/** Of all layers, or of the blocks and the inside of the largest one if they run again; and gradients of the largest output. */
function outputsOf(model: tfl.LayersModel, options: ResolvedEstimateOptions): number {
  const bytes = (layer: Layer): number => FLOAT * numbersIn(outputShapes(layer, options));
  const inside = (layer: Layer): number =>
    isModel(layer)
      ? leafLayers(layer, () => true).reduce((sum, {layer}) => sum + bytes(layer), 0)
      : bytes(layer);
  const isWhole = (layer: Layer): boolean => isRecomputed(layer, options.gradientCheckpointing);
  const layers = leafLayers(model, (nested) => !isWhole(nested)).map(({layer}) => layer);
  const largest = Math.max(0, ...layers.filter(isModel).map(inside));
  return (
    layers.reduce((sum, layer) => sum + bytes(layer), 0) +
    largest +
    2 * Math.max(...layers.map(bytes))
  );
}

/**
 * Shapes of a layer's outputs, each once, with the batch and, for any other size that is open, the length. A layer that is shared may
 * have several, for which tfjs's `outputShape` throws.
 */
function outputShapes(
  {inboundNodes}: Layer,
  {batchSize, maxLength}: ResolvedEstimateOptions,
): Shape[] {
  const shapes = inboundNodes
    .flatMap(({outputShapes}) => (isShape(outputShapes) ? [outputShapes] : outputShapes))
    .map((shape) => shape.map((size, axis) => size ?? (axis === 0 ? batchSize : maxLength)));
  return [...new Map(shapes.map((shape) => [shape.join(), shape])).values()];
}

function isShape(shapes: tfl.Shape | tfl.Shape[]): shapes is tfl.Shape {
  return !Array.isArray(shapes[0]);
}
