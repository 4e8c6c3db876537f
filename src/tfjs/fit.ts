/** What `fit` and `fitDataset` of tfjs-layers do with a model and its callbacks; seen in 4.22. */
import * as tfl from '@tensorflow/tfjs-layers';
import {replaceMethods} from './methods';

/** The methods of a callback that `fit` calls, after `setParams` and `setModel`. */
export const fitHooks = [
  'onTrainBegin',
  'onEpochBegin',
  'onBatchBegin',
  'onBatchEnd',
  'onEpochEnd',
  'onTrainEnd',
] as const;

type FitListener = (model: tfl.LayersModel) => Promise<void> | undefined;

/**
 * Makes every `fit` and `fitDataset` from now on await `before` before its first batch, and `after` when the last one is done: `fit`
 * makes an instance of each callback class that is registered, and calls it before others. It is registered for `verbose` 0,
 * which means for any `verbose`.
 */
export function aroundEachFit(before: FitListener, after: FitListener): void {
  class AroundFit extends tfl.Callback {
    override async onTrainBegin(): Promise<void> {
      await before(this.model);
    }

    override async onTrainEnd(): Promise<void> {
      await after(this.model);
    }
  }
  tfl.registerCallbackConstructor(0, AroundFit);
}

/**
 * Has every `fit` and `fitDataset` from now on take arrays of callbacks in which instances and plain objects of functions are mixed: tfjs
 * takes all for what the first one is.
 */
export function mixCallbacks(): void {
  const {prototype} = tfl.LayersModel;
  const {fit, fitDataset} = prototype;
  replaceMethods(prototype, {
    async fit(this: tfl.LayersModel, x, y, args) {
      return fit.call(this, x, y, args && withInstances(args));
    },
    async fitDataset(this: tfl.LayersModel, dataset, args) {
      return fitDataset.call(this, dataset, withInstances(args));
    },
  });
}

/** The arguments with an instance for each plain object, if there are instances beside it. */
function withInstances<T extends Pick<tfl.ModelFitArgs, 'callbacks' | 'yieldEvery'>>(args: T): T {
  const {callbacks, yieldEvery} = args;
  if (!Array.isArray(callbacks)) return args;
  for (const [i, callback] of (callbacks as unknown[]).entries()) {
    if (Object(callback) === callback) continue;
    throw new Error(
      `fit: callbacks[${i}] must be a callback or an object of functions such as {onEpochEnd: …}; got ${String(callback)}`,
    );
  }
  // By its methods, so that an instance of another copy of tfjs-layers is one.
  const isInstance = (callback: object): callback is tfl.Callback => 'setParams' in callback;
  if (callbacks.every(isInstance) || !callbacks.some(isInstance)) return args;
  const instances = (callbacks as Array<tfl.Callback | tfl.CustomCallbackArgs>).map((callback) =>
    isInstance(callback) ? callback : new tfl.CustomCallback(callback, yieldEvery),
  );
  return {...args, callbacks: instances};
}

/** By the parameters of a `fit`: whether it was to stop when the batches of its last epoch were done. */
const stops = new WeakMap<object, boolean>();
/** By the parameters of a `fit`: what is called before each of its batches. */
const batchListeners = new WeakMap<object, Array<() => Promise<void>>>();
/** Methods of tfjs are replaced once, and stay so. */
let watchesFits = false;

/** Makes every `fit` and `fitDataset` from now on note what {@link wasStopped} tells, and do what {@link beforeEachBatch} asks for. */
export function watchFits(): void {
  if (watchesFits) return;
  watchesFits = true;
  class Watch extends tfl.Callback {
    override async onBatchBegin(): Promise<void> {
      for (const listener of batchListeners.get(this.params) ?? []) await listener();
    }

    override async onEpochEnd(): Promise<void> {
      stops.set(this.params, this.model.stopTraining);
    }
  }
  tfl.registerCallbackConstructor(0, Watch);
}

/**
 * Whether the `fit` of a callback was to stop (`model.stopTraining`) before any callback was told that the epoch ends. Then the
 * epoch may have ended before its last batch, and without validation. What stops a training at the end of an
 * epoch, as tfjs's early stopping does, does not count.
 */
export function wasStopped({params}: tfl.Callback): boolean {
  return stops.get(params) ?? false;
}

/** Awaits `listener` before each batch of the `fit` of a callback, before any callback is told that the batch begins. */
export function beforeEachBatch({params}: tfl.Callback, listener: () => Promise<void>): void {
  batchListeners.set(params, [...(batchListeners.get(params) ?? []), listener]);
}

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
  // Neither has parameters if both were used in loops alone.
  return a.params !== undefined && a.params === b.params;
}

/** Batches of an epoch of the `fit` of a callback; null if it does not know, or is none. */
export function batchesOfEpoch({params}: tfl.Callback): number | null {
  const {steps, samples, batchSize} = (params ?? {}) as Partial<Record<string, number>>;
  return steps ?? (samples && batchSize ? Math.ceil(samples / batchSize) : null);
}

/**
 * Batches that it is going to train on, from the epoch on with which it begins; null likewise.
 *
 * @param initialEpoch That epoch. Left out, it is what the parameters tell, which is nothing in `fitDataset`.
 */
export function batchesOfFit(callback: tfl.Callback, initialEpoch?: number): number | null {
  const params = (callback.params ?? {}) as Partial<Record<string, number | null>>;
  const {epochs} = params;
  const begin = initialEpoch ?? params['initialEpoch'] ?? 0;
  const perEpoch = batchesOfEpoch(callback);
  if (epochs == null || perEpoch === null) return null;
  return (epochs - begin) * perEpoch;
}

/**
 * Whether an object is one that `fit` has made to call a callback's methods on, in the place of the callback: it does so for plain
 * objects of functions. A second copy of tfjs-layers treats each callback of
 * the first copy so, by a class of its own, which this does not recognise.
 */
export function isPlainObjectsReceiver(receiver: unknown): boolean {
  return receiver instanceof tfl.CustomCallback;
}

/**
 * Gives a callback the methods that `fit` calls as properties of its own. A copy made by {...callback} has only those: they are to throw
 * where they are called on another object, in place of doing nothing.
 */
export function keepHooks(callback: tfl.Callback): void {
  Object.assign(
    callback,
    Object.fromEntries(fitHooks.map((hook) => [hook, Reflect.get(callback, hook)])),
  );
}

/** A callback that lets the page draw every 125 ms, as `fit` does by itself only if it is given no callbacks. */
export function yieldingCallback(): tfl.CustomCallback {
  return new tfl.CustomCallback({});
}
