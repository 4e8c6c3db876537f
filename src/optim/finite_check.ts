import * as tf from '@tensorflow/tfjs-core';
import {readsSynchronously} from './read_back';

/**
 * What a step may do: `go`, `stop`, or go masked: a boolean scalar on the device, false where nothing may change, for
 * backends that cannot read a value within a step.
 */
export type Verdict = 'go' | 'stop' | tf.Tensor;

/** Looks for NaN and infinite gradients before anything is changed. */
export class FiniteCheck {
  /** Steps that changed nothing because of such a gradient. */
  skipped = 0;
  private failure: Error | null = null;
  private readonly pending = new Set<Promise<void>>();

  constructor(private readonly onNonFinite: 'throw' | 'skip' | 'ignore') {}

  /**
   * Judges a step by the squared norms [n] of its tensors, in the order of `names`, `gradient of 'x'` and the like. Throws, for `throw`, the error that
   * names the variable: at once, or, where the backend reads asynchronously, in the call after the values have arrived;
   * `undo` then takes back what was counted for a step that changed nothing.
   */
  judge(names: readonly string[], squaredNorms: tf.Tensor1D, undo: () => void): Verdict {
    if (this.onNonFinite === 'ignore') return 'go';
    if (readsSynchronously()) {
      return this.report(names, squaredNorms.dataSync<'float32'>()) ? 'stop' : 'go';
    }
    const kept = tf.keep(tf.clone(squaredNorms));
    const arrived = kept.data<'float32'>().then((values) => {
      kept.dispose();
      this.pending.delete(arrived);
      if (values.every(Number.isFinite)) return;
      undo();
      try {
        this.report(names, values);
      } catch (error) {
        this.failure ??= error as Error;
      }
    });
    this.pending.add(arrived);
    return tf.all(tf.isFinite(squaredNorms));
  }

  /** Throws what an earlier asynchronous check found. */
  throwFailure(): void {
    const {failure} = this;
    this.failure = null;
    if (failure) throw failure;
  }

  /** Resolves when all asynchronous checks are done; rejects if one of them failed. */
  async settled(): Promise<void> {
    await Promise.all(this.pending);
    this.throwFailure();
  }

  /** Whether a value is not finite; throws for `throw`. */
  private report(names: readonly string[], squaredNorms: Float32Array): boolean {
    const bad = squaredNorms.findIndex((value) => !Number.isFinite(value));
    if (bad < 0) return false;
    if (this.onNonFinite === 'throw') {
      throw new Error(
        `OwLoreOptimizer: the ${names[bad]} is ${Number.isNaN(squaredNorms[bad]) ? 'NaN' : 'infinite'} ` +
          '(or its square is beyond float32); no weight was changed. Use a smaller learningRate, clipNorm, or ' +
          "nonFinite: 'skip'",
      );
    }
    this.skipped++;
    return true;
  }
}
