import type {Figure, Goal} from '../results/figure';
import type {GroupResult} from './group';
import type {InterleavedRun, Measured} from '../harness/run';

/** The measurements of a group that compares steps; `docs/measurements.md` has them as a table. */
export interface StepMeasurements {
  rounds: number;
  /** By the group's own names for its contenders. */
  steps: Record<string, Measured>;
}

/** A figure of two contenders: a ratio of what `of` says about each. */
export interface Comparison<Name extends string> {
  name: string;
  above: Name;
  below: Name;
  /** Default: the median time of a step. */
  of?: (measured: Measured) => number;
  goal?: Goal;
}

/** The ratios of which both sides have been measured; what has not been is named in `skipped`. */
export function compare<Name extends string>(
  {measured, missing}: InterleavedRun<Name>,
  rounds: number,
  comparisons: ReadonlyArray<Comparison<Name>>,
): GroupResult {
  const figures = comparisons.flatMap((comparison): Figure[] => {
    const {name, above, below, of = stepTime, goal} = comparison;
    const [numerator, denominator] = [measured[above], measured[below]];
    if (!numerator || !denominator) return [];
    const value = of(numerator) / of(denominator);
    return Number.isFinite(value) ? [{name, value, unit: 'times', ...(goal && {goal})}] : [];
  });
  const measurements: StepMeasurements = {rounds, steps: definedOnly(measured)};
  return {figures, measured: measurements, skipped: missing};
}

/** The results of several runs as those of one; no two have a contender of the same name. */
export function together(rounds: number, ...results: readonly GroupResult[]): GroupResult {
  const steps = results.map(({measured}) => (measured as StepMeasurements).steps);
  return {
    figures: results.flatMap(({figures}) => figures),
    measured: {rounds, steps: Object.assign({}, ...steps) as StepMeasurements['steps']},
    skipped: results.flatMap(({skipped = []}) => skipped),
  };
}

/** The contender with the shorter step, of two that are the same peer at different settings; the first if one is missing. */
export function fasterOf<Name extends string>(
  {measured}: InterleavedRun<Name>,
  first: Name,
  second: Name,
): Name {
  const [a, b] = [measured[first], measured[second]];
  return a && b && b.milliseconds < a.milliseconds ? second : first;
}

function stepTime({milliseconds}: Measured): number {
  return milliseconds;
}

function definedOnly(measured: Partial<Record<string, Measured>>): Record<string, Measured> {
  return Object.fromEntries(Object.entries(measured).flatMap(([k, v]) => (v ? [[k, v]] : [])));
}

/** The largest relative difference that the losses of two trainings may have that do the same. */
export const LOSS_TOLERANCE = 1e-4;

/** Throws unless all trainings have as many weights, and the same loss to start with. */
export function checkStart<Name extends string>(
  {measured}: InterleavedRun<Name>,
  tolerance = LOSS_TOLERANCE,
): void {
  const [first, ...others] = Object.values<Measured | undefined>(measured).flatMap((m) => m ?? []);
  for (const other of others) {
    if (other.parameters !== first!.parameters) {
      throw new Error(
        `they do not train the same: '${other.title}' has ${other.parameters} weights, ` +
          `'${first!.title}' ${first!.parameters}`,
      );
    }
    checkLoss(other, first!, 0, tolerance);
  }
}

/** Throws unless these trainings have had the same losses, those of them that have been measured. */
export function checkLosses<Name extends string>(
  {measured}: InterleavedRun<Name>,
  names: readonly Name[],
): void {
  const [first, ...others] = names.flatMap((name) => measured[name] ?? []);
  for (const other of others) {
    const steps = Math.min(other.losses.length, first!.losses.length);
    for (let step = 0; step < steps; step++) checkLoss(other, first!, step);
  }
}

function checkLoss(a: Measured, b: Measured, step: number, tolerance = LOSS_TOLERANCE): void {
  const [loss, expected] = [a.losses[step]!, b.losses[step]!];
  if (Math.abs(loss / expected - 1) <= tolerance) return;
  throw new Error(
    `they do not compute the same: at step ${step} the loss is ${loss} in '${a.title}', ` +
      `${expected} in '${b.title}'`,
  );
}
