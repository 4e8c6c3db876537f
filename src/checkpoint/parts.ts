/** The parts of a training that a checkpoint has. */
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {folderName} from '../files/directory_handle';
import type {ModelTarget} from '../files/sink';
import type {LayerSamplingState} from '../owlore/sampling/saved_state';
import {checkKnown, classOf} from '../common/options';
import type {LearningRate} from '../owlore/optimizer/schedule';
import {trainedModel, variableOf} from '../tfjs/models';

/** Data whose place can be saved as JSON, as a `TextDataset` is. */
export interface ResumableData {
  /** Where it stands between two batches, as plain JSON. */
  state(): unknown;
  /** Goes on from a state; throws, and changes nothing, if the state is of other data. */
  restore(state: unknown): void;
  /** Batches in a pass, if they are known, as `fitDataset` reads it. */
  size?: number;
}

/** What an {@link OwLoreOptimizer} has for a checkpoint. */
export interface ResumableOptimizer extends tf.Optimizer {
  readonly settings: Record<string, unknown>;
  readonly accumulated: number;
  get learningRate(): number;
  set learningRate(rate: LearningRate);
  /** Resolves when everything that a step needs is there. */
  ready(): Promise<void>;
  /** Resolves when the checks of all steps so far are done. */
  settled(): Promise<void>;
}

/** What a {@link LayerSamplingCallback} has for a checkpoint. */
export interface ResumableCallback {
  readonly settings: Record<string, unknown>;
  /** Where it stands between two batches. */
  getState(): LayerSamplingState;
  /** Goes on from such a state. */
  setState(state: LayerSamplingState): void;
}

/** A training: what is saved, and what is to go on from it. All of it stays the caller's. */
export interface CheckpointParts {
  model: tfl.LayersModel;
  /** The {@link OwLoreOptimizer} that trains the model. */
  optimizer: ResumableOptimizer;
  /** The {@link LayerSamplingCallback} that samples its layers, if there is one. */
  callback?: ResumableCallback;
  /** Its data, if they can say where they stand. */
  data?: ResumableData;
}

/** Throws unless these are the parts of a training. */
export function checkParts(owner: string, parts: CheckpointParts): void {
  checkKnown(owner, parts, ['model', 'optimizer', 'callback', 'data']);
  const {model, optimizer, callback, data} = parts as Partial<CheckpointParts>;
  const check = (isRight: boolean, name: string, what: string, value: unknown): void => {
    if (!isRight) throw new Error(`${owner}: ${name} must be ${what}; got ${classOf(value)}`);
  };
  check(model instanceof tfl.LayersModel, 'model', 'a tf.LayersModel', model);
  // Not by instanceof: it may be of another copy of this library.
  const isOurs = optimizer?.getClassName?.() === 'OwLoreOptimizer';
  check(isOurs, 'optimizer', 'an OwLoreOptimizer (with project: false it is AdamW)', optimizer);
  const isSampling = callback === undefined || typeof callback?.setState === 'function';
  check(isSampling, 'callback', 'a LayerSamplingCallback', callback);
  const isData =
    data === undefined || [data?.state, data?.restore].every((each) => typeof each === 'function');
  check(isData, 'data', 'an object with state() and restore(state), as a TextDataset is', data);
}

/** The weights of a layer, which are in one file. */
export interface LayerWeights {
  /** Name of the layer. */
  layer: string;
  weights: tfl.LayerVariable[];
  /** Of these weights, in their order; that of a packed weight has no data. */
  variables: tf.Variable[];
}

/**
 * The weights of a model, each once, by the layers at its top. A block is one layer or several, so that the files of a block that
 * did not train stay the same.
 *
 * @throws Error if one is not float32.
 */
export function layerWeights(owner: string, model: tfl.LayersModel): LayerWeights[] {
  const seen = new Set<tfl.LayerVariable>();
  return trainedModel(model).layers.flatMap((layer) => {
    const weights = layer.weights.filter((weight) => !seen.has(weight));
    const variables = weights.map(variableOf);
    weights.forEach((weight) => seen.add(weight));
    for (const variable of variables) {
      if (variable.dtype === 'float32') continue;
      throw new Error(
        `${owner}: the weight '${variable.name}' is ${variable.dtype}; a checkpoint has float32 only`,
      );
    }
    return weights.length > 0 ? [{layer: layer.name, weights, variables}] : [];
  });
}

/** Where a file of a target is, in words. */
export function placeOfFile(target: ModelTarget, path: string): string {
  return target instanceof Map ? `${path} in its map` : `${folderName(target)}/${path}`;
}
