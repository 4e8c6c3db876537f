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
  /** By data and the id of the tensor: a tensor and its reshaped versions share their data. */
  private readonly byData = new Map<object, Map<number, Hold>>();

  /** A tensor over the same data that lives until it is released. */
  hold(tensor: tf.Tensor): tf.Tensor {
    const holdsById = this.byData.get(tensor.dataId) ?? new Map<number, Hold>();
    this.byData.set(tensor.dataId, holdsById);
    const known = holdsById.get(tensor.id);
    if (known) {
      known.count++;
      return known.tensor;
    }
    const held = shareData(tensor);
    holdsById.set(tensor.id, {tensor: held, count: 1});
    return held;
  }

  /** Takes back one {@link hold}. */
  release(tensor: tf.Tensor): void {
    const holdsById = this.byData.get(tensor.dataId);
    holdsById?.forEach((hold, id) => {
      if (hold.tensor !== tensor || --hold.count > 0) return;
      tensor.dispose();
      holdsById.delete(id);
    });
  }

  /** Frees everything, after an error. */
  dispose(): void {
    for (const holdsById of this.byData.values()) {
      for (const {tensor} of holdsById.values()) tensor.dispose();
    }
    this.byData.clear();
  }
}
