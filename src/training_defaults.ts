/** What a fine-tuning has where nothing else was asked for, by the command line and in a worker alike. */
import type {PaperMethodName} from './methods';
import {
  cosineDecay,
  learningRateAt,
  linearDecay,
  warmup as rise,
  type LearningRate,
  type Schedule,
} from './owlore/optimizer/schedule';

/**
 * The learning rate of each method by default: one step of the grid 1, 2, 5 below the one at which SmolLM2 learnt most in the comparison of
 * docs/method.md. LISA-D, for which none was looked for, has LISA's.
 */
export const learningRates: Readonly<Record<PaperMethodName, number>> = {
  owlore: 5e-4,
  'owlore-full': 2e-4,
  lisa: 2e-4,
  'lisa-d': 2e-4,
  galore: 1e-4,
  badam: 1e-3,
  lora: 2e-3,
  full: 5e-5,
};

/** How the learning rate goes on after the warm-up. */
export const schedules = {
  linear: linearDecay,
  cosine: cosineDecay,
  constant: (learningRate: number) => learningRate,
} satisfies Record<string, (learningRate: number, steps: number) => number | Schedule>;
export type ScheduleName = keyof typeof schedules;

/** The learning rate of a run of `steps` steps: it rises for `warmup` of them, and then goes on by the schedule. */
export function rateOf(
  {learningRate, schedule, warmup}: {learningRate: number; schedule: ScheduleName; warmup: number},
  steps: number,
): LearningRate {
  const then = schedules[schedule](learningRate, steps - warmup);
  return warmup > 0 ? rise(warmup, then) : then;
}

/**
 * The learning rate of a run that is changed after `step` of its steps: the next one has `learningRate`, and from there it goes on by the
 * schedule. A warm-up is over then.
 */
export function rateFrom(
  step: number,
  {learningRate, schedule, warmup}: Parameters<typeof rateOf>[0],
  steps: number,
): LearningRate {
  const like = {schedule, warmup: step < warmup ? 0 : warmup};
  const part = learningRateAt(rateOf({...like, learningRate: 1}, steps), step);
  return rateOf({...like, learningRate: learningRate / part}, steps);
}

/** The steps of a run with so many batches in a pass. */
export function stepsOf(
  {steps, epochs, accumulate}: {steps?: number | undefined; epochs: number; accumulate: number},
  batches: number,
): number {
  return steps ?? Math.max(1, Math.round((epochs * batches) / accumulate));
}

/** The most examples that are held out: what comes after them in the data need not be read, and their loss is measured eleven times in a run. */
export const MAX_HELD_OUT = 500;

/**
 * Whether the example at `index` of the data is held out: of a part that is spread evenly over them and begins with the first, as far as
 * the first {@link MAX_HELD_OUT}.
 */
export function isHeldOut(
  {validation, validationSplit: part}: {validation?: unknown; validationSplit: number},
  index: number,
): boolean {
  const before = Math.ceil(index * part);
  return validation === undefined && before < MAX_HELD_OUT && Math.ceil((index + 1) * part) > before; // prettier-ignore
}

/** Steps from one checkpoint, or held-out loss, to the next by default. */
export function tenthOf(steps: number): number {
  return Math.max(1, Math.ceil(steps / 10));
}

/**
 * Batches that scores are computed on. By 4 of 512 tokens, the draws of SmolLM2's blocks differ from those by 32 in one of a hundred (total
 * variation 0.008 to 0.012; by 8 0.005 to 0.006), and each takes as long as half a step.
 */
export const CALIBRATION_BATCHES = 4;
