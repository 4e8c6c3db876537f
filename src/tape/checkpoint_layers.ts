import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {isModel, matrixCount, weightShapes} from '../model/layer_tree';
import {checkpointed} from './checkpoint';

type Layer = tfl.layers.Layer;
type Apply = Layer['apply'];

/**
 * Which layers of a model are checkpoints: `'blocks'`, each layer of two or more matrices; `'auto'`, these and, when they
 * run again, such layers inside of them and their {@link checkpointedPart}s; `'none'`.
 */
export type LayerCheckpoints = 'auto' | 'blocks' | 'none';

/** What the layers that run now are told; null outside of {@link withLayerCheckpoints}. */
let running: Exclude<LayerCheckpoints, 'none'> | null = null;

/**
 * Runs `body` with each block of a model as a checkpoint: each layer of two or more matrices, custom or a nested model, but
 * not a model in which such layers repeat. A stateful recurrent layer is none, for a second run would start from another
 * state.
 */
export function withLayerCheckpoints<T>(which: LayerCheckpoints, body: () => T): T {
  if (which === 'none' || running) return body();
  const prototype = tfl.layers.Layer.prototype as {apply: Apply};
  const {apply} = prototype;
  prototype.apply = function (this: Layer, inputs, kwargs) {
    const isSymbolic = !([inputs].flat()[0] instanceof tf.Tensor);
    if (isSymbolic || !isSegment(this)) return apply.call(this, inputs, kwargs);
    // The executor goes on to change the object that it passes, and a layer may change its own list of inputs.
    const ownKwargs = {...kwargs};
    const run = checkpointed(() => {
      const ownInputs = Array.isArray(inputs) ? [...inputs] : inputs;
      return withLayerCheckpoints(
        which === 'auto' ? 'auto' : 'none',
        () => apply.call(this, ownInputs as tf.Tensor[], {...ownKwargs}) as tf.Tensor,
      );
    });
    return run();
  };
  running = which;
  try {
    return body();
  } finally {
    prototype.apply = apply;
    running = null;
  }
}

/**
 * Marks a part of a layer's forward pass: it is a checkpoint of its own when the layer, being one, runs again. So the parts
 * are not remembered all together, for the price of running once more. The last part needs no mark: the backward pass comes
 * by it first, when nothing else is remembered.
 */
export function checkpointedPart<Inputs extends tf.Tensor[], Result extends tf.Tensor>(
  f: (...inputs: Inputs) => Result,
): (...inputs: Inputs) => Result {
  return (...inputs) => (running === 'auto' ? checkpointed(f) : f)(...inputs);
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
