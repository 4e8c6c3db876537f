import * as tf from '@tensorflow/tfjs-core';
import {readsSynchronously} from '../../../kernels/capabilities';
import type {ResolvedOwLoreOptions} from '../options';
import {uncount, type Clocks} from '../state/state';

/** Looks for NaN and infinite gradients and losses before anything is changed. */
export class FiniteCheck {
  /** Steps that changed nothing because of such a gradient or loss. */
  skipped = 0;
  /** How often that has halved the learning rate; saved with the state. */
  halvings = 0;
  private failure: Error | null = null;
  /** Checks whose numbers have not arrived yet, with these numbers and the clocks before their steps, in the order of the steps. */
  private readonly pending = new Map<{kept: tf.Tensor; clocks: Clocks}, Promise<void>>();

  /** @param options Those of the optimizer. */
  constructor(private readonly options: ResolvedOwLoreOptions) {}

  /**
   * Whether the tensors of a step are finite: true or false; on a backend that cannot read a value within a step, a boolean
   * scalar on the device. If that is false, the step changes nothing.
   *
   * @param names Descriptions of the tensors, such as `gradient of 'x'`.
   * @param squaredNorms Their squared norms in the same order, times 2⁻¹⁶⁰ where they would be beyond float32 otherwise, so that they
   *   are finite if the tensor is; of the loss its value.
   * @param clocks Of the step's states, before it; what the step counts is taken back if it turns out later to have changed nothing.
   * @throws Error for `nonFinite: 'throw'`, which names the variable: at once, or, where the backend reads asynchronously, in the
   *   call after the values have arrived.
   */
  checkFinite(
    names: readonly string[],
    squaredNorms: tf.Tensor1D,
    clocks: Clocks,
  ): boolean | tf.Tensor {
    if (this.options.nonFinite === 'ignore') return true;
    if (readsSynchronously()) return this.report(names, squaredNorms.dataSync<'float32'>());
    const {pending} = this;
    const check = {kept: tf.keep(tf.clone(squaredNorms)), clocks};
    const take = (values: Float32Array): void => {
      const checks = [...pending.keys()];
      const own = checks.indexOf(check);
      if (own < 0 || values.every(Number.isFinite)) return;
      uncount(checks.slice(own).map((each) => each.clocks));
      this.report(names, values);
    };
    const arrived = check.kept
      .data<'float32'>()
      .then(take)
      // an error of the check, or of a backend that cannot be read any more
      .catch((error: unknown) => {
        if (pending.has(check)) this.failure ??= error as Error;
      })
      .then(() => {
        check.kept.dispose();
        pending.delete(check);
      });
    pending.set(check, arrived);
    return tf.all(tf.isFinite(squaredNorms));
  }

  /** Throws what an earlier asynchronous check found. */
  throwFailure(): void {
    const {failure} = this;
    this.failure = null;
    if (failure) throw failure;
  }

  /** Gives up the asynchronous checks: what they would find, or have found, is not heard of. */
  abandon(): void {
    for (const {kept} of this.pending.keys()) kept.dispose();
    this.pending.clear();
    this.failure = null;
  }

  /** Resolves when all asynchronous checks are done; rejects if one of them failed. */
  async settled(): Promise<void> {
    await Promise.all(this.pending.values());
    this.throwFailure();
  }

  /** Whether all values are finite; counts the step if not, or throws. */
  private report(names: readonly string[], squaredNorms: Float32Array): boolean {
    const bad = squaredNorms.findIndex((value) => !Number.isFinite(value));
    if (bad < 0) return true;
    const {nonFinite} = this.options;
    if (nonFinite === 'throw') throw new Error(failureMessage(names[bad]!, squaredNorms[bad]!));
    if (nonFinite === 'halve') this.halvings++;
    this.skipped++;
    return false;
  }
}

/** The description of a step's loss, beside those of its gradients. */
export const LOSS = 'loss';

function failureMessage(name: string, value: number): string {
  return (
    `OwLoreOptimizer: the ${name} is ${Number.isNaN(value) ? 'NaN' : 'infinite'}; no weight was changed. Look at the batch and the ` +
    'loss function; after steps that went well, a smaller learningRate or clipNorm may help; ' +
    "nonFinite: 'skip' or 'halve' passes over it"
  );
}

/**
 * 2⁻⁸⁰, by which a gradient is multiplied whose squared norm is beyond float32: the squares of float32 numbers times this, and sums of a
 * billion of them, stay within it. Being a power of 2 it rounds nothing.
 */
export const UNIT = 2 ** -80;
