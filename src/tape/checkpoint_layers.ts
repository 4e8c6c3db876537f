import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {isModel, matrixCount} from '../model/layer_tree';
import {checkpointed} from './checkpoint';

type Layer = tfl.layers.Layer;
type Apply = Layer['apply'];

/**
 * Runs `body` with each block of a model as a checkpoint: each layer of two or more matrices, custom or a nested model
 * without such a layer inside. A stateful recurrent layer is none, for a second run would start from another state.
 */
export function withLayerCheckpoints<T>(body: () => T): T {
  const prototype = tfl.layers.Layer.prototype as {apply: Apply};
  const {apply} = prototype;
  prototype.apply = function (this: Layer, inputs, kwargs) {
    const isSymbolic = !([inputs].flat()[0] instanceof tf.Tensor);
    if (isSymbolic || !isSegment(this)) return apply.call(this, inputs, kwargs);
    // The executor goes on to change the object that it passes.
    const ownKwargs = {...kwargs};
    const ownInputs = Array.isArray(inputs) ? [...inputs] : inputs;
    const run = checkpointed(
      () => apply.call(this, ownInputs as tf.Tensor[], {...ownKwargs}) as tf.Tensor,
    );
    return run();
  };
  try {
    return body();
  } finally {
    prototype.apply = apply;
  }
}

/** Whether a layer is worth a checkpoint of its own. */
function isSegment(layer: Layer): boolean {
  if (layer.stateful || matrixCount(layer) < 2) return false;
  return !isModel(layer) || !layer.layers.some(isSegment);
}
