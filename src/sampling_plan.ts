import * as tf from '@tensorflow/tfjs-core';
import {registeredVariable} from './optim/variables';

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

/** The plans that an optimizer has taken: one for each model that is sampled. */
export class SamplingPlans {
  private plans: SamplingPlan[] = [];

  /** Takes a plan, in the place of those that have a variable in common with it or whose model is gone; null: forgets all. */
  set(plan: SamplingPlan | null): void {
    this.plans = plan ? [...this.plans.filter((other) => isOfAnotherModel(other, plan)), plan] : [];
  }

  /** Names of all variables in blocks; null without a plan. */
  get blockVariables(): ReadonlySet<string> | null {
    if (this.plans.length === 0) return null;
    return new Set(this.plans.flatMap(({blockVariables}) => [...blockVariables]));
  }

  /** Tells the callback whose variable it is of a refresh; each of them of one that is in no block. */
  onRefresh(event: RefreshEvent): void {
    const owners = this.plans.filter(({blockVariables}) => blockVariables.has(event.variable));
    for (const plan of owners.length > 0 ? owners : this.plans) plan.onRefresh(event);
  }
}

/** Whether a plan is of a model that still exists and has no variable in common with that of another plan. */
function isOfAnotherModel({blockVariables}: SamplingPlan, other: SamplingPlan): boolean {
  const names = [...blockVariables];
  return (
    names.some((name) => registeredVariable(name)) &&
    !names.some((name) => other.blockVariables.has(name))
  );
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

/** How many batches in a row an optimizer may leave out before it is taken for another than the one that trains. */
const MISSED_BATCHES = 10;

/** tfjs's own optimizers, of which it is known that `iterations` counts their steps. */
const tfjsOptimizers = [
  tf.AdadeltaOptimizer,
  tf.AdagradOptimizer,
  tf.AdamOptimizer,
  tf.AdamaxOptimizer,
  tf.RMSPropOptimizer,
  tf.SGDOptimizer,
];

/** A batch, and where its optimizer was when it began. */
interface BegunBatch {
  optimizer: tf.Optimizer;
  iterations: number;
  accumulated: number;
}

/**
 * Counts the steps that an optimizer makes of the batches that a callback begins. An optimizer that takes a plan is asked, for
 * a step may take several batches, and a batch may fail; for any other a batch is a step.
 */
export class StepCounter {
  /** The last batch, as long as its step is not counted. */
  private batch: BegunBatch | null = null;
  private missed = 0;

  /** @param counted Steps that an earlier run has done. */
  constructor(private counted: number) {}

  /** Steps done so far. */
  get steps(): number {
    return this.counted + (this.batch && makesStep(this.batch) ? 1 : 0);
  }

  /**
   * Begins a batch that `optimizer` is going to train on.
   *
   * @throws Error if it takes a plan and did not train on the last ones, so that there are no steps. For one of tfjs's own,
   *   of which each batch counts as a step, a warning, once.
   */
  begin(optimizer: tf.Optimizer): void {
    this.missed = this.batch && isMissed(this.batch) ? this.missed + 1 : 0;
    if (this.missed === MISSED_BATCHES) {
      const message =
        `LayerSamplingCallback: the optimizer (${optimizer.getClassName()}) has not been called for ${MISSED_BATCHES} batches; ` +
        'if your loop uses another one, name it once by attach(model, optimizer), and call step() once for each of its calls';
      if (takesSamplingPlan(optimizer)) throw new Error(message);
      console.warn(message);
    }
    this.end();
    const {iterations} = optimizer;
    this.batch = {optimizer, iterations, accumulated: accumulatedBy(optimizer)};
  }

  /** Ends the last batch. A step that is not complete stays open: what comes later may complete it. */
  end(): void {
    this.counted = this.steps;
    if (!this.batch) return;
    if (makesStep(this.batch) || accumulatedBy(this.batch.optimizer) === 0) this.batch = null;
  }
}

/** Whether a batch has completed a step. */
function makesStep({optimizer, iterations}: BegunBatch): boolean {
  return !takesSamplingPlan(optimizer) || optimizer.iterations > iterations;
}

/** Whether a batch has come and gone without the optimizer; false if that cannot be known. */
function isMissed({optimizer, iterations, accumulated}: BegunBatch): boolean {
  // `instanceof` takes every optimizer for one of any class.
  const isKnown =
    takesSamplingPlan(optimizer) ||
    tfjsOptimizers.some((known) => Object.prototype.isPrototypeOf.call(known.prototype, optimizer));
  return isKnown && optimizer.iterations === iterations && accumulatedBy(optimizer) === accumulated;
}

function accumulatedBy(optimizer: tf.Optimizer): number {
  return takesSamplingPlan(optimizer) ? optimizer.accumulated : 0;
}
