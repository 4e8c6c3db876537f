/** What an adaptive sampling has seen of a training, and how that comes out of a saved state. */
import {isObject} from '../files/json';
import {MOST_STEPS} from '../options';
import type {SamplingProbabilities} from '../sampling/probabilities';

/** What was seen of a training, as plain JSON; blocks go by name. */
export interface Seen {
  /** Periods that were drawn. */
  periods: number;
  /** Periods in which each block was on. */
  visits: Record<string, number>;
  /** ‖G‖ of each block, the root of the mean square over the steps of its last period. */
  norms: Record<string, number>;
  /** What a rule keeps of each block. */
  values: Record<string, number>;
  /**
   * The current period: its blocks, the number of its steps with finite gradients, the sum of ‖G‖² of each block over them, and
   * whether the optimizer has reported any step (missing in older states).
   */
  current: {
    blocks: string[];
    steps: number;
    squares: Record<string, number>;
    isTold?: boolean;
  } | null;
  /** The probabilities of that period. */
  probabilities: SamplingProbabilities | null;
}

/** Before the first draw. */
export function nothingSeen(): Seen {
  return {periods: 0, visits: {}, norms: {}, values: {}, current: null, probabilities: null};
}

/** A copy of what was seen, from the state of a sampling of this kind; null if it is none. */
export function seenFrom(kind: string, state: unknown): Seen | null {
  if (!isObject(state) || state['kind'] !== kind) return null;
  const {kind: _, ...seen} = structuredClone(state);
  return isSeen(seen) ? seen : null;
}

function isSeen(value: object): value is Seen {
  const {periods, visits, norms, values, current, probabilities} = value as Record<string, unknown>;
  if (!isCount(periods) || ![visits, norms, values].every(areNumbers)) return false;
  return periods === 0
    ? current === null && probabilities === null
    : isPeriod(current) && areProbabilities(probabilities);
}

function isPeriod(value: unknown): boolean {
  if (!isObject(value)) return false;
  const {blocks, steps, squares, isTold} = value;
  const isKnown = isTold === undefined || isTold === true || isTold === false;
  return areNames(blocks) && isCount(steps) && areNumbers(squares) && isKnown;
}

function areProbabilities(value: unknown): boolean {
  if (!isObject(value)) return false;
  const {blocks, probabilities, shares} = value;
  return (
    areNames(blocks) &&
    [probabilities, shares].every(
      (list) => Array.isArray(list) && list.length === blocks.length && list.every(isNumber),
    )
  );
}

function isNumber(value: unknown): boolean {
  return Number.isFinite(value) && (value as number) >= 0;
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && isNumber(value) && (value as number) <= MOST_STEPS;
}

/** Numbers by name. */
function areNumbers(value: unknown): boolean {
  return isObject(value) && Object.values(value).every(isNumber);
}

function areNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}
