/** What `fit` and `fitDataset` of tfjs-layers do with a model and its callbacks; seen in 4.22. */
import * as tfl from '@tensorflow/tfjs-layers';

/** The methods of a callback that `fit` calls, after `setParams` and `setModel`. */
export const fitHooks = [
  'onTrainBegin',
  'onEpochBegin',
  'onBatchBegin',
  'onBatchEnd',
  'onEpochEnd',
  'onTrainEnd',
] as const;

/**
 * Calls `listener` once, when the `fit` or `fitDataset` that is at work on `model` ends, also if it throws: tfjs calls no
 * callback then, wherever the error comes from, but never fails to set `model.isTraining` to false. Where it does not set it,
 * `listener` is not called.
 */
export function whenFitEnds(model: tfl.LayersModel, listener: () => void): void {
  const define = (property: PropertyDescriptor): void => {
    Object.defineProperty(model, 'isTraining', {...property, configurable: true, enumerable: true});
  };
  define({
    get: () => true,
    set(isTraining: boolean) {
      define({value: isTraining, writable: true});
      listener();
    },
  });
}

/** Whether two callbacks are at work in the same `fit`, which gives all of its callbacks one object of parameters. */
export function areInSameFit(a: tfl.Callback, b: tfl.Callback): boolean {
  return a.params === b.params;
}

/** Batches that the `fit` of a callback is going to train on; null if it does not know, or is none. */
export function batchesOfFit({params}: tfl.Callback): number | null {
  const {epochs, initialEpoch, steps, samples, batchSize} = (params ?? {}) as Partial<
    Record<string, number>
  >;
  const perEpoch = steps ?? (samples && batchSize ? Math.ceil(samples / batchSize) : undefined);
  if (epochs === undefined || perEpoch === undefined) return null;
  return (epochs - (initialEpoch ?? 0)) * perEpoch;
}

/**
 * Whether `fit` has put an object of its own in the place of a callback, on which it calls the callback's methods: it takes
 * every entry of an array as a plain object of functions when the first one is, and a second copy of tfjs-layers does so with each
 * callback of the first, by a class of its own.
 */
export function isPlainObjectsReceiver(receiver: unknown): boolean {
  return receiver instanceof tfl.CustomCallback;
}

/** A callback that does what `fit` does by itself if it is given none, and otherwise not: it lets the page draw every 125 ms. */
export function yieldingCallback(): tfl.CustomCallback {
  return new tfl.CustomCallback({});
}
