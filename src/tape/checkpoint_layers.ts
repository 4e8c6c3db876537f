import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {isModel, matrixCount, weightShapes} from '../model/layer_tree';
import {checkpointed} from './checkpoint';

type Layer = tfl.layers.Layer;
type Apply = Layer['apply'];

/** The choices of {@link LayerCheckpoints}. */
export const layerCheckpoints = ['auto', 'blocks', 'none'] as const;

/**
 * Which layers of a model are checkpoints: `'blocks'`, each layer of two or more matrices; `'auto'`, these and, when they
 * run again, what is inside of them and worth it: layers, and the attention of `createLlama`; `'none'`.
 */
export type LayerCheckpoints = (typeof layerCheckpoints)[number];

/** What the layers that run now may be: null outside of {@link withLayerCheckpoints}. */
let running: 'blocks' | 'parts' | null = null;

/**
 * A part of a block runs a third time to be remembered apart from the rest. It is worth that if its inputs are at least
 * this many times as large as its weights: then what it makes of them outweighs the weights, their gradients and their
 * optimizer state, else it is a few percent of all that.
 */
const WORTH = 2;

/**
 * Runs `body` with each block of a model as a checkpoint: each layer of two or more matrices, custom or a nested model, but
 * not a model in which such layers repeat. A stateful recurrent layer is none, for a second run would start from another
 * state.
 */
export function withLayerCheckpoints<T>(which: LayerCheckpoints, body: () => T): T {
  return which === 'none' ? body() : withSegments('blocks', which, body);
}

/** Runs `body` with its layers as checkpoints, blocks or, inside of a block, parts of it. */
function withSegments<T>(kind: 'blocks' | 'parts', which: 'auto' | 'blocks', body: () => T): T {
  if (running) return body();
  const prototype = tfl.layers.Layer.prototype as {apply: Apply};
  const {apply} = prototype;
  prototype.apply = function (this: Layer, inputs, kwargs) {
    const tensors: Array<tf.Tensor | tfl.SymbolicTensor> = [inputs].flat();
    const isSymbolic = !tensors.every((input) => input instanceof tf.Tensor);
    if (isSymbolic || !isSegment(this) || (kind === 'parts' && !isWorth(tensors, this.weights))) {
      return apply.call(this, inputs, kwargs);
    }
    // The executor goes on to change the object that it passes, and a layer may change its own list of inputs.
    const ownKwargs = {...kwargs};
    const run = checkpointed(() => {
      const ownInputs = (Array.isArray(inputs) ? [...inputs] : inputs) as tf.Tensor[];
      const call = (): tf.Tensor => apply.call(this, ownInputs, {...ownKwargs}) as tf.Tensor;
      return which === 'auto' ? withSegments('parts', which, call) : call();
    });
    return run();
  };
  running = kind;
  try {
    return body();
  } finally {
    prototype.apply = apply;
    running = null;
  }
}

/**
 * Marks a part of a layer's forward pass: with `'auto'` it is a checkpoint of its own when the layer, being one, runs
 * again. So the parts are not remembered all together, for the price of running once more. The last part needs no mark: the
 * backward pass comes by it first, when nothing else is remembered.
 *
 * @param weights What the part reads of the layer's weights.
 */
export function checkpointedPart<Inputs extends tf.Tensor[], Result extends tf.Tensor>(
  f: (...inputs: Inputs) => Result,
  weights: readonly tf.Tensor[],
): (...inputs: Inputs) => Result {
  return (...inputs) => (isPartApart(inputs, weights) ? checkpointed(f) : f)(...inputs);
}

/** Whether layers are checkpoints now or, with `'auto'`, are inside of one that runs again. */
export function areCheckpointsRunning(): boolean {
  return running !== null;
}

/** Whether {@link checkpointedPart} makes a part with these inputs and weights a checkpoint now. */
export function isPartApart(inputs: readonly tf.Tensor[], weights: readonly tf.Tensor[]): boolean {
  return running === 'parts' && isWorth(inputs, weights);
}

function isWorth(inputs: readonly Sized[], weights: readonly Sized[]): boolean {
  return sizeOf(inputs) >= WORTH * sizeOf(weights);
}

type Sized = Pick<tf.Tensor | tfl.LayerVariable, 'shape'>;

function sizeOf(tensors: readonly Sized[]): number {
  return tensors.reduce((sum, {shape}) => sum + tf.util.sizeFromShape(shape as number[]), 0);
}

/** Whether a layer is worth a checkpoint of its own. */
function isSegment(layer: Layer): boolean {
  return !layer.stateful && matrixCount(layer) >= 2 && !(isModel(layer) && holdsBlocks(layer));
}

/** Whether a model is a body of blocks, as `findBlocks` knows them, and not a block itself. */
function holdsBlocks(model: tfl.LayersModel): boolean {
  const shapes = model.layers.filter(isSegment).map(weightShapes);
  return new Set(shapes).size < shapes.length;
}
