import * as tf from '@tensorflow/tfjs-core';
import {engineInternals, type EngineInternals} from './engine';

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

  constructor(private readonly runStock: EngineInternals['runKernelFunc']) {}

  /** A tensor over the same data that lives until it is released. */
  hold(tensor: tf.Tensor): tf.Tensor {
    const key = `${tensor.dtype} ${tensor.shape.join(' ')}`;
    const ofData = this.byData.get(tensor.dataId) ?? new Map<string, Hold>();
    this.byData.set(tensor.dataId, ofData);
    const known = ofData.get(key);
    if (known) {
      known.count++;
      return known.tensor;
    }
    const held = this.share(tensor);
    ofData.set(key, {tensor: held, count: 1});
    return held;
  }

  /** Takes back one {@link hold}. */
  release(tensor: tf.Tensor): void {
    const key = `${tensor.dtype} ${tensor.shape.join(' ')}`;
    const ofData = this.byData.get(tensor.dataId);
    const hold = ofData?.get(key);
    if (!ofData || hold?.tensor !== tensor || --hold.count > 0) return;
    tensor.dispose();
    ofData.delete(key);
    if (ofData.size === 0) this.byData.delete(tensor.dataId);
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

  /** Reshape shares the data on every backend; Identity, which `tf.clone` runs, copies it on wasm. */
  private share(tensor: tf.Tensor): tf.Tensor {
    const engine = engineInternals();
    engine.state.kernelDepth++;
    try {
      const shared = this.runStock.call(engine, {
        kernelName: tf.Reshape,
        inputs: {x: tensor},
        attrs: {shape: tensor.shape},
      });
      return engine.keep(shared as tf.Tensor);
    } finally {
      engine.state.kernelDepth--;
    }
  }
}

/** Stands for a saved tensor of which the gradient function reads the shape alone. */
export function shapeOnly({shape, dtype}: tf.Tensor): tf.Tensor {
  return new tf.Tensor(shape, dtype, placeholder, -1);
}

const placeholder = {};
