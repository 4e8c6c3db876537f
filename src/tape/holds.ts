import * as tf from '@tensorflow/tfjs-core';
import {engineInternals} from './engine';

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
   * @param shareData Whether tensors over the same data are held as one; else each tensor is, for who has to tell by the
   *   held one what it stands for.
   */
  constructor(private readonly options: {shareData: boolean}) {}

  /** A tensor over the same data that lives until it is released. */
  hold(tensor: tf.Tensor): tf.Tensor {
    const key = this.options.shareData
      ? `${tensor.dtype} ${tensor.shape.join(' ')}`
      : String(tensor.id);
    const ofData = this.byData.get(tensor.dataId) ?? new Map<string, Hold>();
    this.byData.set(tensor.dataId, ofData);
    const known = ofData.get(key);
    if (known) {
      known.count++;
      return known.tensor;
    }
    const held = share(tensor);
    ofData.set(key, {tensor: held, count: 1});
    return held;
  }

  /** Takes back one {@link hold}. */
  release(tensor: tf.Tensor): void {
    const ofData = this.byData.get(tensor.dataId);
    for (const [key, hold] of ofData ?? []) {
      if (hold.tensor !== tensor || --hold.count > 0) continue;
      tensor.dispose();
      ofData!.delete(key);
    }
    if (ofData?.size === 0) this.byData.delete(tensor.dataId);
  }

  /** Whether the data of a tensor is still held. */
  holdsDataOf(tensor: tf.Tensor): boolean {
    return this.byData.has(tensor.dataId);
  }

  /** Frees everything, after an error. */
  dispose(): void {
    for (const ofData of this.byData.values()) {
      for (const {tensor} of ofData.values()) tensor.dispose();
    }
    this.byData.clear();
  }
}

/** A kept tensor over the same data, as a `tf.Variable` takes it: a clone copies on wasm, a reshape on tensorflow. */
function share({shape, dtype, dataId}: tf.Tensor): tf.Tensor {
  const engine = engineInternals();
  const shared = engine.keep(new tf.Tensor(shape, dtype, dataId, engine.nextTensorId()));
  engine.incRef(shared, null);
  return shared;
}

/** Stands for a saved tensor of which the gradient function reads the shape alone. */
export function shapeOnly({shape, dtype}: tf.Tensor): tf.Tensor {
  return new tf.Tensor(shape, dtype, placeholder, -1);
}

const placeholder = {};
