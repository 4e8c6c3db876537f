import type * as tf from '@tensorflow/tfjs-core';
import {registeredVariable} from './optimizer/state/variables';

/** A basis that was computed anew. */
export interface RefreshEvent {
  /** Name of the variable. */
  variable: string;
  /** Global step, 1, 2, … */
  step: number;
}

/**
 * What a {@link LayerSamplingCallback} tells an optimizer that takes plans. It does not say what a step trains: only the
 * `trainable` flags of the variables do.
 */
export interface SamplingPlan {
  /** Names of all variables that belong to a block, on or off, except those that the user froze. */
  readonly blockVariables: ReadonlySet<string>;
  /** Names of the variables that the callback keeps from training now; none outside a training. It changes from period to period. */
  readonly frozenVariables: ReadonlySet<string>;
  /** Called after a basis was refreshed. */
  onRefresh(event: RefreshEvent): void;
  /** Called when a step has variables of the plan's blocks, before it is made or skipped. */
  onStep?(): void;
}

/** The plans that an optimizer has taken: one for each model that is sampled. */
export class SamplingPlans {
  private plans: SamplingPlan[] = [];

  /** Adds a plan; it replaces plans that have a variable in common with it. Null: forgets all plans. */
  set(plan: SamplingPlan | null): void {
    this.plans = plan ? [...this.plans.filter((other) => !haveCommon(other, plan)), plan] : [];
  }

  /** Forgets the plans whose models are gone; false if there are none. */
  forgetDisposed(): boolean {
    const before = this.plans;
    this.plans = before.filter(({blockVariables}) => [...blockVariables].some(registeredVariable));
    return this.plans.length < before.length;
  }

  /** Names of all variables in blocks; null without a plan. */
  get blockVariables(): ReadonlySet<string> | null {
    if (this.plans.length === 0) return null;
    return new Set(this.plans.flatMap(({blockVariables}) => [...blockVariables]));
  }

  /** Names of the variables that a callback keeps from training now. */
  get frozenVariables(): string[] {
    return this.plans.flatMap(({frozenVariables}) => [...frozenVariables]);
  }

  /** Tells the callbacks that sample one of the variables of a step. */
  onStep(names: ReadonlySet<string>): void {
    for (const plan of this.plans) {
      if ([...plan.blockVariables].some((name) => names.has(name))) plan.onStep?.();
    }
  }

  /** Tells the callback that samples the refreshed variable; all callbacks if the variable is in no block. */
  onRefresh(event: RefreshEvent): void {
    const owners = this.plans.filter(({blockVariables}) => blockVariables.has(event.variable));
    for (const plan of owners.length > 0 ? owners : this.plans) plan.onRefresh(event);
  }
}

/** Whether two plans have a variable in common. */
function haveCommon({blockVariables}: SamplingPlan, other: SamplingPlan): boolean {
  return [...blockVariables].some((name) => other.blockVariables.has(name));
}

/** An optimizer that takes a {@link SamplingPlan}. */
export interface PlannedOptimizer extends tf.Optimizer {
  /** Calls of `applyGradients` that make one step. */
  readonly accumulate: number;
  /** Calls so far of the step that is not made yet; 0 between two steps. */
  readonly accumulated: number;
  /** Names of the variables that brought a gradient in these calls. */
  readonly accumulatedVariables: ReadonlySet<string>;
  /** Makes a step of these calls now; does nothing if there are none. */
  flush(): void;
  /** Takes a plan, which replaces an earlier one for the same variables, or null to forget all. */
  setSamplingPlan(plan: SamplingPlan | null): void;
  /** Resolves when the checks of all steps so far are done; rejects if one of them failed. */
  settled(): Promise<void>;
}

/** Whether `optimizer` takes a {@link SamplingPlan}. */
export function takesSamplingPlan(optimizer: tf.Optimizer): optimizer is PlannedOptimizer {
  return typeof (optimizer as Partial<PlannedOptimizer>).setSamplingPlan === 'function';
}
