/** What a training trains, and the errors for a training that this library cannot look into. */
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {callbackName} from './options';
import {isPlainObjectsReceiver} from '../../tfjs/fit';
import {trainedModel, variableOf, weightsToTrain} from '../../tfjs/models';
import {isOptimizer} from '../../tfjs/optimizers';

/** A model, and the optimizer that moves its weights. */
export interface Training {
  /** The model that is trained, see `trainedModel`. */
  model: tfl.LayersModel;
  optimizer: tf.Optimizer;
}

/**
 * The model that is really trained, and its optimizer.
 *
 * @param loopOptimizer The optimizer of a custom loop; null: the one that the model was compiled with.
 * @throws Error if there is no model or no optimizer, or the optimizer is of another copy of tfjs-core.
 */
export function trainingOf(
  model: tfl.LayersModel | undefined,
  loopOptimizer: tf.Optimizer | null,
): Training {
  if (!model) {
    throw new Error(
      `${callbackName}: has no model, or another callback took it over; call attach(model, optimizer) before step()`,
    );
  }
  const trained = trainedModel(model);
  const optimizer: tf.Optimizer | undefined = loopOptimizer ?? trained.optimizer;
  if (!optimizer) {
    throw new Error(
      `${callbackName}: the model has no optimizer; call model.compile({optimizer, loss}) before training, or ` +
        'attach(model, optimizer) for a loop of your own',
    );
  }
  if (!isOptimizer(optimizer)) {
    throw new Error(
      `${callbackName}: the model's optimizer (${optimizer.getClassName?.() ?? 'unknown'}) comes from another copy of ` +
        '@tensorflow/tfjs-core than this library uses; make them one (npm ls @tensorflow/tfjs-core, npm dedupe)',
    );
  }
  return {model: trained, optimizer};
}

/**
 * The weights that a step hands to the optimizer; `loopOptimizer` as in {@link trainingOf}. Those of a custom loop around `minimize` are
 * trainable now, whatever the model was compiled with; those of one around `trainOnBatch`, with the optimizer of `compile`, were so then.
 */
export function weightsOf(
  {model}: Training,
  loopOptimizer: tf.Optimizer | null,
): tfl.LayerVariable[] {
  if (!loopOptimizer) return weightsToTrain(model);
  const isCompiledWith = (model.optimizer as tf.Optimizer | undefined) === loopOptimizer;
  return [
    ...new Set([...(isCompiledWith ? weightsToTrain(model) : []), ...model.trainableWeights]),
  ];
}

/** Whether tfjs would train one of some weights now. */
export function trainsAny(weights: readonly tfl.LayerVariable[]): boolean {
  return weights.some((weight) => variableOf(weight).trainable);
}

/** Whether two lists have the same weights in any order, as the lists of a model before and after it is compiled again. */
export function sameWeights(
  a: readonly tfl.LayerVariable[],
  b: readonly tfl.LayerVariable[],
): boolean {
  const own = new Set(a);
  return own.size === new Set(b).size && b.every((weight) => own.has(weight));
}

/** Throws for a model of another copy of tfjs-layers, and for anything that is not a model. */
export function checkCopy(model: unknown): void {
  if (model instanceof tfl.LayersModel) return;
  const isModel = typeof (model as {trainOnBatch?: unknown} | null)?.trainOnBatch === 'function';
  throw new Error(
    isModel
      ? anotherCopy('the model')
      : `${callbackName}: must have a tf.LayersModel; got ${String(model)}`,
  );
}

/** An error that says why `fit` calls the callback's methods on an object of its own. */
export function wrongReceiver(receiver: unknown): Error {
  if (!isPlainObjectsReceiver(receiver)) return new Error(anotherCopy('fit()'));
  return new Error(
    `${callbackName}: fit() calls this callback as a plain object of functions: it was copied ({...callback}). Pass it as it ` +
      'is: callbacks: [callback, {onEpochEnd: …}]',
  );
}

function anotherCopy(what: string): string {
  return (
    `${callbackName}: ${what} comes from another copy of @tensorflow/tfjs-layers than this library uses. In Node make them one ` +
    '(npm ls @tensorflow/tfjs-layers, npm dedupe). In a page with tfjs in a script tag, tell the bundler that ' +
    "@tensorflow/tfjs-core and @tensorflow/tfjs-layers are its global tf ('externals')"
  );
}
