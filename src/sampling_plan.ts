import type * as tf from '@tensorflow/tfjs-core';

/** A basis that was computed anew. */
export interface RefreshEvent {
  /** Name of the variable. */
  variable: string;
  /** Global step, 1, 2, … */
  step: number;
}

/**
 * What a {@link LayerSamplingCallback} tells an optimizer that takes it. Which blocks are on is not in it: that stands in
 * the `trainable` flags of the variables alone.
 */
export interface SamplingPlan {
  /** Names of all variables that belong to a block, on or off, but for those that the user froze. */
  readonly blockVariables: ReadonlySet<string>;
  /** Called after a basis was refreshed. */
  onRefresh(event: RefreshEvent): void;
}

/** An optimizer that takes a {@link SamplingPlan}. */
export interface PlannedOptimizer extends tf.Optimizer {
  /** Calls of `applyGradients` that make one step. */
  readonly accumulate: number;
  /** Calls of the step that is not made yet; 0 between two steps. */
  readonly accumulated: number;
  /** Names of the variables that brought a gradient in these calls. */
  readonly accumulatedVariables: ReadonlySet<string>;
  /** Makes a step of these calls now; does nothing if there are none. */
  flush(): void;
  /** Takes a plan, in the place of an earlier one for the same variables, or null to forget all. */
  setSamplingPlan(plan: SamplingPlan | null): void;
  /** Resolves when the checks of all steps so far are done; rejects if one of them failed. */
  settled(): Promise<void>;
}

/** Whether `optimizer` takes a {@link SamplingPlan}. */
export function takesSamplingPlan(optimizer: tf.Optimizer): optimizer is PlannedOptimizer {
  return typeof (optimizer as Partial<PlannedOptimizer>).setSamplingPlan === 'function';
}
