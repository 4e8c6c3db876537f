import type * as tf from '@tensorflow/tfjs-core';
import {callbackName} from './options';
import {takesSamplingPlan} from '../sampling_plan';
import {sayOnce} from '../../common/say_once';
import {isTfjsOptimizer} from '../../tfjs/optimizers';

/** After this many batches in a row without a call of the optimizer, or steps without one of the callback, the loop must be wrong. */
export const MISSED_BATCHES = 10;

/** The counters of an optimizer when a batch began. */
interface Counters {
  iterations: number;
  accumulated: number;
}

/** A batch, and the counters of its optimizer when it began. */
interface BegunBatch extends Counters {
  optimizer: tf.Optimizer;
}

/** What a {@link StepCounter} has counted, as JSON. */
export interface CountedSteps {
  steps: number;
  /** The counters of the optimizer when the last batch of a step began that is not complete yet; null between two steps. */
  open: {iterations: number; accumulated: number} | null;
}

/**
 * Counts the steps that an optimizer makes from the batches that a callback begins. An optimizer that takes a plan is asked,
 * because a step may take several batches and a batch may fail; for any other optimizer a batch counts as a step.
 */
export class StepCounter {
  /** The last batch, as long as its step is not counted. */
  private batch: BegunBatch | null = null;
  private missed = 0;

  /** @param counted Steps that an earlier run has done. */
  constructor(private counted: number) {}

  /** A counter that goes on from what another one has counted of the steps of `optimizer`. */
  static from({steps, open}: CountedSteps, optimizer: tf.Optimizer): StepCounter {
    const counter = new StepCounter(steps);
    counter.batch = open && {optimizer, ...open};
    return counter;
  }

  /** Steps done so far. */
  get steps(): number {
    return this.counted + (this.batch && makesStep(this.batch) ? 1 : 0);
  }

  /** What {@link from} goes on from. */
  get state(): CountedSteps {
    const {steps, batch} = this;
    if (!batch || makesStep(batch) || accumulatedBy(batch.optimizer) === 0)
      return {steps, open: null};
    const {iterations, accumulated} = batch;
    return {steps, open: {iterations, accumulated}};
  }

  /**
   * Begins a batch that `optimizer` is going to train on.
   *
   * @throws Error if the optimizer takes a plan and was not called for the last batches, so that no steps are made. For one of
   *   tfjs's own, where each batch counts as a step, it warns once.
   */
  begin(optimizer: tf.Optimizer): void {
    this.missed = this.batch && isMissed(this.batch) ? this.missed + 1 : 0;
    if (this.missed === MISSED_BATCHES) {
      const message =
        `${callbackName}: the optimizer (${optimizer.getClassName()}) has not been called for ${MISSED_BATCHES} batches; ` +
        'if your loop uses another one, name it by attach(model, optimizer), and call step() once for each of its calls';
      if (takesSamplingPlan(optimizer)) throw new Error(message);
      sayOnce('warn', message);
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

/** How many steps an optimizer will make from this many further batches, including the step that is open. */
export function stepsOfBatches(batches: number, optimizer: tf.Optimizer): number {
  if (!takesSamplingPlan(optimizer)) return batches;
  return Math.ceil((optimizer.accumulated + batches) / optimizer.accumulate);
}

/** Whether a batch has completed a step. */
function makesStep({optimizer, iterations}: BegunBatch): boolean {
  return !takesSamplingPlan(optimizer) || optimizer.iterations > iterations;
}

/** Whether a batch has come and gone without the optimizer; false if that cannot be known. */
function isMissed({optimizer, iterations, accumulated}: BegunBatch): boolean {
  const isKnown = takesSamplingPlan(optimizer) || isTfjsOptimizer(optimizer);
  return isKnown && optimizer.iterations === iterations && accumulatedBy(optimizer) === accumulated;
}

function accumulatedBy(optimizer: tf.Optimizer): number {
  return takesSamplingPlan(optimizer) ? optimizer.accumulated : 0;
}
