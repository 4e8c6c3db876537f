import * as tf from '@tensorflow/tfjs-core';

/** Sums of tensors by key. They outlive the `tf.tidy` in which they are added; `dispose` frees them. */
export class RunningSums {
  private readonly sums = new Map<string, tf.Tensor>();

  add(key: string, value: tf.Tensor): void {
    const sum = this.sums.get(key);
    this.sums.set(key, tf.keep(sum ? tf.add(sum, value) : tf.clone(value)));
    sum?.dispose();
  }

  get(key: string): tf.Tensor | undefined {
    return this.sums.get(key);
  }

  dispose(): void {
    tf.dispose([...this.sums.values()]);
    this.sums.clear();
  }
}
