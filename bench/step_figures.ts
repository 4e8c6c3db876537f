import type {Figure, Goal, GroupResult} from './figure';
import type {InterleavedRun, Measured} from './interleaved/run';

/** The measurements of a group that compares steps; `docs/performance.md` has them as a table. */
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

function stepTime({milliseconds}: Measured): number {
  return milliseconds;
}

function definedOnly(measured: Partial<Record<string, Measured>>): Record<string, Measured> {
  return Object.fromEntries(Object.entries(measured).flatMap(([k, v]) => (v ? [[k, v]] : [])));
}

/** The largest relative difference that the losses of two trainings may have that do the same. */
export const LOSS_TOLERANCE = 1e-4;

/** Throws unless these trainings have had the same losses, those of them that have been measured. */
export function checkLosses<Name extends string>(
  {measured}: InterleavedRun<Name>,
  names: readonly Name[],
): void {
  const runs = names.flatMap((name) => measured[name] ?? []);
  const [first, ...others] = runs;
  for (const {title, losses} of others) {
    losses.forEach((loss, step) => {
      const expected = first!.losses[step];
      if (expected === undefined || Math.abs(loss / expected - 1) <= LOSS_TOLERANCE) return;
      throw new Error(
        `they do not compute the same: at step ${step} the loss is ${loss} in '${title}', ` +
          `${expected} in '${first!.title}'`,
      );
    });
  }
}
