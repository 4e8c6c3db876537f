/**
 * A step of a model that is not LLaMA-style: its weights, state and gradients by their shapes, and a guess of the rest from what its
 * layers put out, for nothing says what a layer of another kind keeps.
 */
import type * as tfl from '@tensorflow/tfjs-layers';
import {isModel, leafLayers, matrixCount, type Layer} from '../model/layer_tree';
import type {ResolvedEstimateOptions} from './options';
import {numbersIn, type ModelSizes, type Shape} from './sizes';
import type {Bytes} from './tape';
import {bytesOf} from './tape';
import {planTraining, stateBytes, trainedIn, waitingBytes, weightBytes} from './training_plan';

const FLOAT = 4;

export function anyModelMemory(
  model: tfl.LayersModel,
  sizes: ModelSizes,
  options: ResolvedEstimateOptions,
): Bytes {
  const plan = planTraining(sizes, options);
  const trained = trainedIn(plan);
  const total = (bytes: readonly number[]): number => bytes.reduce((sum, each) => sum + each, 0);
  const waiting = total(trained.map(waitingBytes));
  const known = {
    weights: weightBytes(plan, options),
    state: total(trained.map(stateBytes)),
  };
  const sums = options.accumulate > 1 ? waiting : 0;
  const outputs = outputsOf(model, options);
  // at the end of the backward pass, or at its beginning
  const gradients = waiting + Math.max(0, ...trained.map(bytesOf));
  return gradients > outputs
    ? {...known, gradients: sums + gradients, activations: 0}
    : {...known, gradients: sums, activations: outputs};
}

/** Of all layers, or of the blocks and the inside of the largest one if they run again; and gradients of the largest output. */
function outputsOf(model: tfl.LayersModel, options: ResolvedEstimateOptions): number {
  const bytes = (layer: Layer): number => FLOAT * numbersIn(outputShapes(layer, options));
  const inside = (layer: Layer): number =>
    isModel(layer)
      ? leafLayers(layer, () => true).reduce((sum, {layer}) => sum + bytes(layer), 0)
      : bytes(layer);
  const isWhole = (layer: Layer): boolean =>
    options.checkpoint !== 'none' && matrixCount(layer) > 1;
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
