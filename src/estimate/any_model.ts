/**
 * A step of a model that is not LLaMA-style: its weights, state and gradients by their shapes, and a guess of the rest from what its
 * layers put out, for nothing says what a layer of another kind keeps.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import {checkRank, targetedMatrices} from '../lora/matrices';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import {resolveBlocks, type ResolvedBlock} from '../model/blocks';
import {isModel, leafLayers, type Layer} from '../model/layer_tree';
import {owloreDefaults} from '../optim/owlore_options';
import {Projections} from '../optim/projector';
import {isRecomputed} from '../tape/recompute_layers';
import {
  resolveEstimateOptions,
  type EstimateOptions,
  type ResolvedEstimateOptions,
} from './options';
import {numbersIn, type Shape} from './sizes';
import type {Bytes} from './tape';
import {FLOAT, bytesOf} from './tape';
import {
  blocksOn,
  planned,
  stateBytes,
  sumBytes,
  trainedIn,
  waitingBytes,
  weightBytes,
  type PlannedWeight,
  type TrainingPlan,
} from './training_plan';

/** @throws Error that names the option if one is wrong, or only for LLaMA-style models. */
export function anyModelMemory(
  owner: string,
  model: tfl.LayersModel,
  given: EstimateOptions,
): Bytes {
  // a method that draws no blocks trains any model, and all weights alike; a wrong method is refused below
  const parts: MethodParts | undefined = paperMethods[given.method ?? 'owlore'];
  const blocks = parts?.sampling ? resolveBlocks(model) : [];
  const most = {blocks: blocks.length, mostLength: Infinity};
  const options = resolveEstimateOptions(owner, given, most);
  const {embedding, frozenDtype, engine, countedLabels} = given;
  const ofLlama = Object.entries({
    ...{embedding, frozenDtype, countedLabels},
    engine: engine === 'torch' ? engine : undefined,
  });
  const [only] = ofLlama.filter(([, value]) => value !== undefined);
  if (only)
    throw new Error(`${owner}: ${only[0]} '${only[1]}' is for models of loadLlama and createLlama`);
  const plan = planLayers(owner, model, blocks, options);
  const trained = trainedIn(plan);
  const total = (bytes: readonly number[]): number => bytes.reduce((sum, each) => sum + each, 0);
  const isSummed = options.accumulate > 1;
  const largest = Math.max(0, ...trained.map(bytesOf));
  const known = {
    weights: weightBytes(plan, options),
    state: total(trained.map(stateBytes)),
  };
  const sums = isSummed ? total(trained.map(sumBytes)) : 0;
  const outputs = outputsOf(model, options);
  // with several batches a step a gradient is added to the sum at once
  const gradients = isSummed ? 2 * largest : total(trained.map(waitingBytes)) + largest;
  // most is there at the end of the backward pass, or at its beginning
  return gradients > outputs
    ? {...known, gradients: sums + gradients, activations: 0}
    : {...known, gradients: sums, activations: outputs};
}

/** What the optimizer does with each weight. */
function planLayers(
  owner: string,
  model: tfl.LayersModel,
  blocks: readonly ResolvedBlock[],
  options: ResolvedEstimateOptions,
): TrainingPlan {
  const {method, rank, targets} = options;
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const matrices = lora ? targetedMatrices(owner, model, targets) : [];
  checkRank(
    owner,
    rank,
    matrices.map(({module, weight}) => ({module, shape: weight.shape as Shape})),
  );
  const adapted = new Set(matrices.map(({weight}) => weight));
  const trainable = new Set(model.trainableWeights);
  const inBlocks = new Set(blocks.flatMap(({weights}) => weights));
  const project = lowRank ? 'auto' : false;
  const projections = new Projections({project, rank, side: owloreDefaults.side});
  // without a callback the optimizer does not know blocks
  if (sampling) projections.setBlocks(new Set([...inBlocks].map(({name}) => name)));
  const plan = (weight: tfl.LayerVariable, isOn: boolean): PlannedWeight => {
    const {name} = weight;
    const shape = weight.shape as number[];
    return {
      ...planned(shape, isOn && trainable.has(weight), projections.of({name, shape}), options),
      adapterRank: adapted.has(weight) ? rank : 0,
    };
  };
  const isOn = blocksOn(blocks.length, options);
  const others = [...new Set(model.weights)].filter((weight) => !inBlocks.has(weight));
  return {
    blocks: blocks.map(({weights}, i) => weights.map((weight) => plan(weight, isOn[i]!))),
    isOn,
    vocabulary: [],
    others: others.map((weight) => plan(weight, trainsRest(method))),
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
