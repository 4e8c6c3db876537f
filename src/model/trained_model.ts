/** What tfjs trains of a model. */

import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerVariable} from '@tensorflow/tfjs-layers/dist/variables';

/** The model that `fit` gives to callbacks: a Sequential is trained by a model inside it, which each `compile` makes anew. */
export function trainedModel(model: tfl.LayersModel): tfl.LayersModel {
  // tfjs-layers declares the inner model private.
  return (model as unknown as {model?: tfl.LayersModel}).model ?? model;
}

/** The list of weights that `compile` made, see {@link weightsToTrain}; a new one each time, null before the first. */
export function collectedWeights(model: tfl.LayersModel): readonly LayerVariable[] | null {
  // tfjs-layers declares the list protected.
  const {collectedTrainableWeights} = model as unknown as {
    collectedTrainableWeights?: LayerVariable[];
  };
  return collectedTrainableWeights ?? null;
}

/**
 * The weights that a training step hands to the optimizer, each once: those that were trainable when the model was compiled,
 * whatever has become of them; tfjs trains those of them whose `tf.Variable` is trainable. Of a model that is not compiled,
 * those that are trainable.
 */
export function weightsToTrain(model: tfl.LayersModel): LayerVariable[] {
  return [...new Set(collectedWeights(model) ?? model.trainableWeights)];
}

/** Whether two lists, in any order, have the same weights, as those of a model before and after it was compiled again. */
export function sameWeights(a: readonly LayerVariable[], b: readonly LayerVariable[]): boolean {
  const own = new Set(a);
  return own.size === new Set(b).size && b.every((weight) => own.has(weight));
}
