import type * as tfl from '@tensorflow/tfjs-layers';

/**
 * Calls `listener` once, when the `fit` or `fitDataset` that is at work on `model` ends, also if it throws: tfjs calls no
 * callback then, wherever the error comes from, but never fails to set `model.isTraining` to false.
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
