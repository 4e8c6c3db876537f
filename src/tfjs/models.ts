/**
 * What tfjs-layers trains of a model, and the layers that a pass runs; seen in 4.22.
 *
 * A training step reads `trainable` of each `tf.Variable` afresh, without `compile`, and hands to `optimizer.minimize` the variables
 * that were trainable when the model was compiled. Layers and their weights have a flag of their own beside it, which sets that of
 * the variable when it is set, and by which `model.weights` is sorted.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {replaceMethods, withMethods} from './methods';

type Layer = tfl.layers.Layer;
export type Apply = Layer['apply'];

/**
 * The model that is trained, which is the one that `fit` gives to callbacks: a Sequential is trained by a model inside of it, which
 * each `compile` makes anew. tfjs-layers declares that one private. Where there is none, the model itself.
 */
export function trainedModel(model: tfl.LayersModel): tfl.LayersModel {
  return (model as unknown as {model?: tfl.LayersModel}).model ?? model;
}

/** How often a layer is called in the models that it is in. Each call is a node, and a model is one by itself. */
export function usesOf(layer: Layer): number {
  const isModel = 'layers' in layer;
  return layer.inboundNodes.length - (isModel ? 1 : 0);
}

/**
 * The layers of the model that a layer is in, with itself: all that calls connect with it, which are those of other models over the
 * same layers as well. A layer that was never given a symbolic tensor is alone.
 */
export function connectedLayers(layer: Layer): Layer[] {
  const found = new Set([layer]);
  // A set goes on to what is added meanwhile.
  for (const {inboundNodes, outboundNodes} of found) {
    for (const {inboundLayers} of inboundNodes) for (const each of inboundLayers) found.add(each);
    for (const {outboundLayer} of outboundNodes) found.add(outboundLayer);
  }
  return [...found];
}

/**
 * A model that ends where the last of some layers ends, over the same layers and weights; do not dispose of it. The model itself
 * where that cannot be: if some of the layers are in a nested model or called twice, or do not all lead to the last one.
 */
export function upTo(model: tfl.LayersModel, layers: readonly Layer[]): tfl.LayersModel {
  const isPlain = (layer: Layer): boolean =>
    model.layers.includes(layer) && layer.inboundNodes.length === 1;
  if (!layers.every(isPlain)) return model;
  const last = model.layers.filter((layer) => layers.includes(layer)).at(-1);
  if (!last) return model;
  const {name, inputs} = model;
  const part = tfl.model({inputs, outputs: last.output, name});
  return layers.every((layer) => part.layers.includes(layer)) ? part : model;
}

/** Builds a Sequential that was never compiled: its first call would do it, and thereby turn all of its weights on. */
export function buildSequential(model: tfl.LayersModel): void {
  if (model instanceof tfl.Sequential && !model.built && model.inputs.length > 0) model.build();
}

type Listed = (
  weight: tfl.LayerVariable,
  optimizer: tf.Optimizer,
) => Pick<tfl.LayerVariable, 'read'>;

/** What each step reads in the place of a weight; null: the weight. */
let listed: Listed | null = null;
/** The lists that `compile` made, since there is a {@link listed}. */
const lists = new WeakMap<tfl.LayersModel, tfl.LayerVariable[]>();

/**
 * From now on each training step, of any model, gets the variables that it hands to the optimizer from what `replacement` gives
 * for a weight and the model's optimizer: `compile` puts the list of weights into a property, where a step reads it.
 */
export function listForSteps(replacement: Listed): void {
  if (listed) return;
  listed = replacement;
  Object.defineProperty(tfl.LayersModel.prototype, 'collectedTrainableWeights', {
    configurable: true,
    get(this: tfl.LayersModel) {
      return lists.get(this)?.map((weight) => replacement(weight, this.optimizer));
    },
    set(this: tfl.LayersModel, weights: tfl.LayerVariable[]) {
      lists.set(this, weights);
    },
  });
}

/**
 * The list of weights that `compile` made, see {@link weightsToTrain}; a new one each time, null before the first. tfjs-layers
 * declares it protected; where it is not there, a model is as if it were not compiled.
 */
export function collectedWeights(model: tfl.LayersModel): readonly tfl.LayerVariable[] | null {
  const {collectedTrainableWeights} = model as unknown as {
    collectedTrainableWeights?: tfl.LayerVariable[];
  };
  return lists.get(model) ?? collectedTrainableWeights ?? null;
}

/**
 * The weights that a training step hands to the optimizer, each once: those that were trainable when the model was compiled,
 * whatever has become of them; tfjs trains those of them whose `tf.Variable` is trainable. Of a model that is not compiled,
 * those that are trainable.
 */
export function weightsToTrain(model: tfl.LayersModel): tfl.LayerVariable[] {
  return [...new Set(collectedWeights(model) ?? model.trainableWeights)];
}

/**
 * The variable of a weight, of the same name. It is a protected member, which `read()` gives as a tensor.
 *
 * @throws Error if it is no variable: then whether a weight is trained is decided elsewhere.
 */
export function variableOf(weight: tfl.LayerVariable): tf.Variable {
  const {val} = weight as unknown as {val?: unknown};
  if (val instanceof tf.Variable) return val as tf.Variable;
  throw new Error(
    `tfjs-owlore: the weight '${weight.name}' has no tf.Variable in it, as it has in tfjs-layers 4.22; use 4.22`,
  );
}

/**
 * Has `save` of a model free what its weights give it to read, unless that is a `tf.Variable`, when it has been written. `save` reads
 * all weights before it first waits, outside of any `tf.tidy`; tfjs-layers declares the method by which it does that protected.
 */
export function freeReadsOfSave(model: tfl.LayersModel): void {
  type Named = Array<{tensor: tf.Tensor}>;
  const reader = model as unknown as {getNamedWeights(config?: tf.io.SaveConfig): Named};
  const save = model.save.bind(model);
  const getNamedWeights = reader.getNamedWeights.bind(model);
  replaceMethods(model, {
    save: async (...args: Parameters<typeof save>) => {
      let read: Named = [];
      const watched = {
        getNamedWeights: (config?: tf.io.SaveConfig) => (read = getNamedWeights(config)),
      };
      const saved = withMethods(reader, watched, () => save(...args));
      try {
        return await saved;
      } finally {
        const tensors = read.map(({tensor}) => tensor);
        tf.dispose(tensors.filter((tensor) => !(tensor instanceof tf.Variable)));
      }
    },
  });
}

/** The lists that a layer has of its own weights, without those of layers inside of it; tfjs-layers declares them protected. */
interface WeightLists {
  _trainableWeights: tfl.LayerVariable[];
  _nonTrainableWeights: tfl.LayerVariable[];
}

/** The weights that a layer has itself, and not by layers inside of it. */
export function ownWeights(layer: Layer): tfl.LayerVariable[] {
  const lists = layer as unknown as WeightLists;
  return [...lists._trainableWeights, ...lists._nonTrainableWeights];
}

/**
 * Adds weights to those that a layer lists as trainable, after its own; it then trains, saves and disposes of them.
 *
 * @returns A function that takes them off the list again.
 */
export function listWeights(layer: Layer, weights: readonly tfl.LayerVariable[]): () => void {
  const {_trainableWeights: listed} = layer as unknown as WeightLists;
  listed.push(...weights);
  return () => {
    for (const weight of weights) {
      const index = listed.indexOf(weight);
      if (index >= 0) listed.splice(index, 1);
    }
  };
}

/**
 * Has a layer list all of its own weights as not trainable, and be trainable itself for such as are added. That lasts: the flags
 * of weights that are listed as trainable are set by every `compile` of a Sequential.
 *
 * @returns A function that makes lists and flag what they were.
 */
export function listAsFrozen(layer: Layer): () => void {
  const lists = layer as unknown as WeightLists;
  const {_trainableWeights, _nonTrainableWeights} = lists;
  const {trainable} = layer;
  lists._nonTrainableWeights = ownWeights(layer);
  lists._trainableWeights = [];
  if (!trainable) layer.trainable = true;
  return () => {
    Object.assign(lists, {_trainableWeights, _nonTrainableWeights});
    if (!trainable) layer.trainable = false;
  };
}

/**
 * Runs `body` and passes each call of a layer to `intercept`, together with the function that calls the layer as before. No call is
 * missed: every layer inherits `apply` from the prototype of `Layer`.
 */
export function interceptLayers<T>(
  intercept: (layer: Layer, run: Apply, ...args: Parameters<Apply>) => ReturnType<Apply>,
  body: () => T,
): T {
  const prototype = tfl.layers.Layer.prototype;
  const own = prototype.apply;
  return withMethods(
    prototype,
    {
      apply(this: Layer, ...args: Parameters<Apply>) {
        return intercept(this, (...given) => own.apply(this, given), ...args);
      },
    },
    body,
  );
}

/** Runs `body` and reports each call of some layers, with its inputs and outputs. */
export function watchLayers<T>(
  layers: readonly Layer[],
  onCall: (layer: Layer, inputs: tf.Tensor | tf.Tensor[], outputs: tf.Tensor | tf.Tensor[]) => void,
  body: () => T,
): T {
  return layers.reduce<() => T>((inner, layer) => {
    const call = layer.call.bind(layer);
    const watched: Layer['call'] = (inputs, kwargs) => {
      const outputs = call(inputs, kwargs);
      onCall(layer, inputs, outputs);
      return outputs;
    };
    return () => withMethods(layer, {call: watched}, inner);
  }, body)();
}
