import type * as tf from '@tensorflow/tfjs-core';
import {shareData} from '../tfjs/engine';

/** A tensor that outlives the forward pass, and how many nodes wait for it. */
interface Hold {
  tensor: tf.Tensor;
  count: number;
}

/**
 * Keeps the tensors that gradient functions will read, each once however many nodes save it, until the last of them has
 * been passed.
 */
export class Holds {
  /** By data and shape: a tensor and its reshaped versions share their data. */
  private readonly byData = new Map<object, Map<string, Hold>>();

  /**
   * @param options `oneForAll`: one tensor holds all tensors with the same data, shape and dtype. Otherwise each tensor gets its
   *   own, so that the caller can tell them apart.
   */
  constructor(private readonly options: {oneForAll: boolean}) {}

  /** A tensor over the same data that lives until it is released. */
  hold(tensor: tf.Tensor): tf.Tensor {
    const key = this.options.oneForAll
      ? `${tensor.dtype} ${tensor.shape.join(' ')}`
      : String(tensor.id);
    const ofData = this.byData.get(tensor.dataId) ?? new Map<string, Hold>();
    this.byData.set(tensor.dataId, ofData);
    const known = ofData.get(key);
    if (known) {
      known.count++;
      return known.tensor;
    }
    const held = shareData(tensor);
    ofData.set(key, {tensor: held, count: 1});
    return held;
  }

  /** Takes back one {@link hold}. */
  release(tensor: tf.Tensor): void {
    const ofData = this.byData.get(tensor.dataId);
    ofData?.forEach((hold, key) => {
      if (hold.tensor !== tensor || --hold.count > 0) return;
      tensor.dispose();
      ofData.delete(key);
    });
  }

  /** Frees everything, after an error. */
  dispose(): void {
    for (const ofData of this.byData.values()) {
      for (const {tensor} of ofData.values()) tensor.dispose();
    }
    this.byData.clear();
  }
}
