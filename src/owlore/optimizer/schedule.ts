import {checkKnown, checkNumber, display} from '../../common/options';

/**
 * A learning rate that depends on the optimizer's global step, as a plain object, so that it can be written in an options
 * file and saved with a model. Made by {@link linearDecay}, {@link cosineDecay} and {@link warmup}.
 */
export type Schedule =
  | {kind: 'linearDecay' | 'cosineDecay'; learningRate: number; steps: number; end: number}
  | {kind: 'warmup'; steps: number; then: number | Schedule};

/** Options of {@link linearDecay} and {@link cosineDecay}. */
export interface DecayOptions {
  /** The learning rate at the end, ≥ 0. Default 0. */
  end?: number;
}

/** A constant, a {@link Schedule}, or a function of the number of optimizer steps done so far (0, 1, 2, …). */
export type LearningRate = number | Schedule | ((step: number) => number);

/**
 * `learningRate` in step 0, falling on a straight line to `end` (default 0) after `steps` steps, then constant.
 * Step t has `end + (learningRate − end)·(1 − t/steps)`.
 *
 * @throws Error that names the argument, its value and what is allowed.
 */
export function linearDecay(
  learningRate: number,
  steps: number,
  options: DecayOptions = {},
): Schedule {
  checkKnown('linearDecay', options, ['end']);
  return checked('linearDecay', {kind: 'linearDecay', learningRate, steps, end: options.end ?? 0});
}

/**
 * `learningRate` in step 0, falling along half a cosine to `end` (default 0) after `steps` steps, then constant
 * (Loshchilov & Hutter 2017, without restarts).
 *
 * @throws Error that names the argument, its value and what is allowed.
 */
export function cosineDecay(
  learningRate: number,
  steps: number,
  options: DecayOptions = {},
): Schedule {
  checkKnown('cosineDecay', options, ['end']);
  return checked('cosineDecay', {kind: 'cosineDecay', learningRate, steps, end: options.end ?? 0});
}

/**
 * A linear rise over the first `steps` steps to the first rate of `then`, which follows with its own step 0.
 * Step t < steps has `(t + 1)/steps` of that rate, so that the first step already moves the weights.
 *
 * ```ts
 * new OwLoreOptimizer({learningRate: warmup(100, cosineDecay(3e-4, 900))});
 * ```
 *
 * @throws Error that names the argument, its value and what is allowed.
 */
export function warmup(steps: number, then: number | Schedule): Schedule {
  return checked('warmup', {kind: 'warmup', steps, then});
}

/** The learning rate of the step that follows `step` earlier ones. */
export function learningRateAt(rate: LearningRate, step: number): number {
  if (typeof rate === 'number') return rate;
  if (typeof rate === 'function') return rate(step);
  if (rate.kind === 'warmup') {
    if (step >= rate.steps) return learningRateAt(rate.then, step - rate.steps);
    return (learningRateAt(rate.then, 0) * (step + 1)) / rate.steps;
  }
  const done = Math.min(step / rate.steps, 1);
  const remaining = rate.kind === 'linearDecay' ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return rate.end + (rate.learningRate - rate.end) * remaining;
}

/** Throws unless `rate` is a number ≥ 0, a well-formed schedule or a function. */
export function checkLearningRate(owner: string, rate: unknown): asserts rate is LearningRate {
  if (typeof rate === 'function') return;
  if (typeof rate === 'object' && rate !== null) {
    checkSchedule(owner, rate as Schedule);
  } else if (typeof rate === 'number') {
    checkNumber(owner, 'learningRate', rate, {min: 0});
  } else {
    refuse(owner, rate);
  }
}

function refuse(owner: string, rate: unknown): never {
  throw new Error(
    `${owner}: learningRate must be a number >= 0, a schedule (linearDecay, cosineDecay, warmup) or a function ` +
      `of the step; got ${display(rate)}`,
  );
}

/** The keys of each kind of schedule. */
const keys: Readonly<Record<Schedule['kind'], readonly string[]>> = {
  linearDecay: ['kind', 'learningRate', 'steps', 'end'],
  cosineDecay: ['kind', 'learningRate', 'steps', 'end'],
  warmup: ['kind', 'steps', 'then'],
};

function checkSchedule(owner: string, schedule: Schedule): void {
  const {kind} = schedule;
  if (typeof kind !== 'string' || !Object.hasOwn(keys, kind)) refuse(owner, schedule);
  checkKnown(`${owner}: ${kind}`, schedule, keys[kind]);
  if (schedule.kind === 'warmup') {
    checkNumber(owner, 'warmup steps', schedule.steps, {min: 1, integer: true});
    checkLearningRate(owner, schedule.then);
    if (typeof schedule.then === 'function') {
      throw new Error(`${owner}: warmup then must be a number or a schedule; got a function`);
    }
  } else {
    checkNumber(owner, `${kind} learningRate`, schedule.learningRate, {min: 0});
    checkNumber(owner, `${kind} steps`, schedule.steps, {min: 1, integer: true});
    checkNumber(owner, `${kind} end`, schedule.end, {min: 0});
  }
}

function checked(owner: string, schedule: Schedule): Schedule {
  checkSchedule(owner, schedule);
  return schedule;
}
