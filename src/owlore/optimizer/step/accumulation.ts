import * as tf from '@tensorflow/tfjs-core';
import {addGradients, isFactored, tidyWith} from '../../../tape/gradient';
import {updateRules} from '../rules';
import {gradientOf} from './gradient';
import type {ResolvedOwLoreOptions} from '../options';
import type {Projection, Projections} from '../state/projector';
import type {StateStore, VariableState} from '../state/state';
import type {OnGradient} from './step';
import {isRefreshDue} from '../state/basis';
import {registeredVariable} from '../state/variables';

/** The gradients of several calls, added up in the states of their variables, and their means. */
export class Accumulation {
  /** Calls that are in the sums. */
  calls = 0;
  /** Sum of the losses of these calls, to see whether all are finite; null if no call had one, or nobody asks. */
  lossSum: tf.Scalar | null = null;

  constructor(
    private readonly states: StateStore,
    private readonly projections: Projections,
    private readonly options: ResolvedOwLoreOptions,
  ) {}

  /**
   * Adds the gradients that `stream` hands over, and the loss that it returns. If it throws when only some of them are in the
   * sums, all sums are given up, with those of earlier calls.
   */
  addCall<T extends tf.Scalar | null>(stream: (onGradient: OnGradient) => T): T {
    let isBegun = false;
    let result: T;
    try {
      result = stream((variable, gradient) => {
        isBegun = true;
        const state = this.states.of(variable.name);
        const projection = this.keepsProjection(state) ? this.projections.of(variable) : null;
        tidyWith(gradient, () => addToSum(state, variable, gradient, projection, this.options));
      });
      if (result && this.options.nonFinite !== 'ignore') {
        this.lossSum = sumOf<tf.Scalar>(this.lossSum, tf.cast<tf.Scalar>(result, 'float32'));
      }
    } catch (error) {
      if (isBegun) this.clear();
      throw error;
    }
    this.calls++;
    return result;
  }

  /** The variables that brought gradients, without those that no longer exist. */
  variables(): tf.Variable[] {
    return this.states
      .entries()
      .flatMap(([name, {gradientSum, projectedSum}]) =>
        (gradientSum ?? projectedSum) ? (registeredVariable(name) ?? []) : [],
      );
  }

  /** Hands over the mean of each variable's gradients, and frees their sum. Returns the sum of the losses. */
  streamMeans(onGradient: OnGradient): tf.Scalar | null {
    for (const variable of this.variables()) {
      const state = this.states.of(variable.name);
      const isProjected = state.projectedSum !== null;
      const mean = meanOf((state.gradientSum ?? state.projectedSum)!, this.calls);
      state.gradientSum = state.projectedSum = null;
      onGradient(variable, mean, {isProjected});
    }
    return this.lossSum;
  }

  /** Frees all sums. */
  clear(): void {
    for (const [, state] of this.states.entries()) freeSum(state);
    this.lossSum?.dispose();
    this.lossSum = null;
    this.calls = 0;
  }

  /**
   * Whether the sum of a variable that is projected is kept so. A sum stays in the form in which it was begun, even when loaded
   * under other options.
   */
  private keepsProjection(state: VariableState): boolean {
    if (state.gradientSum ?? state.projectedSum) return state.projectedSum !== null;
    const {options} = this;
    const needsWhole = updateRules[options.update].needsWholeGradient || options.clipNorm !== null;
    return !needsWhole && !isRefreshDue(state, options);
  }
}

/**
 * Adds a gradient, which it disposes of, to the sum in its variable's state. Projection is linear, so for a projected
 * variable ΣPᵀG is enough; ΣG is kept only where the step needs it: for a new basis, for a norm that is limited, or to move the
 * variable by it.
 *
 * @param projection With it the sum is kept projected.
 */
function addToSum(
  state: VariableState,
  variable: tf.Variable,
  gradient: tf.Tensor,
  projection: Projection | null,
  options: ResolvedOwLoreOptions,
): void {
  if (projection) {
    const {r} = gradientOf(gradient, variable, projection, options).project(state.basis!, false);
    gradient.dispose();
    state.projectedSum = sumOf(state.projectedSum, r);
  } else {
    state.gradientSum = sumOf(state.gradientSum, gradient);
  }
}

/** The kept sum of two tensors, which it disposes of; the second one itself if there is no first. */
function sumOf<T extends tf.Tensor>(sum: T | null, summand: T): T {
  return tf.keep(addGradients(sum ?? undefined, summand) as T);
}

/** The mean of gradients with this sum, which it disposes of. */
function meanOf(sum: tf.Tensor, count: number): tf.Tensor {
  if (isFactored(sum)) return sum.times(1 / count);
  const mean = tf.div(sum, count);
  sum.dispose();
  return mean;
}

function freeSum(state: VariableState): void {
  state.gradientSum?.dispose();
  state.projectedSum?.dispose();
  state.gradientSum = null;
  state.projectedSum = null;
}
