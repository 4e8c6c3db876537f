import type {Optimizer} from '@tensorflow/tfjs-core';

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
  /** Names of all variables that belong to a block, on or off. */
  readonly blockVariables: ReadonlySet<string>;
  /** Called after a basis was refreshed. */
  onRefresh(event: RefreshEvent): void;
}

/** An optimizer that takes a {@link SamplingPlan}. */
export interface PlannedOptimizer extends Optimizer {
  /** Calls of `applyGradients` that make one step. */
  readonly accumulate: number;
  /** Takes a plan, or null to forget it. */
  setSamplingPlan(plan: SamplingPlan | null): void;
  /** Resolves when the checks of all steps so far are done; rejects if one of them failed. */
  settled(): Promise<void>;
}

/** Whether `optimizer` takes a {@link SamplingPlan}. */
export function takesSamplingPlan(optimizer: Optimizer): optimizer is PlannedOptimizer {
  return typeof (optimizer as Partial<PlannedOptimizer>).setSamplingPlan === 'function';
}
