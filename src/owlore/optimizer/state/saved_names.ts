/** The names of the tensors that the optimizer saves, and what may be in its counters. */
import {isObject, show} from '../../../files/json';
import {MAX_STEPS} from '../../../common/options';

/**
 * Endings that make an entry's name from its variable's. They start with the optimizer's name, because the entries share one
 * list of names with the model's own weights.
 */
export const suffixes = {
  first: '/owlore.moment1',
  second: '/owlore.moment2',
  basis: '/owlore.basis',
  limit: '/owlore.limit',
  gradientSum: '/owlore.gradient',
  projectedSum: '/owlore.projectedGradient',
  clocks: '/owlore.clocks',
} as const;

export type Slot = keyof typeof suffixes;

/** Names of the counters; that of the steps is tfjs's. */
export const STEPS = 'iter';
export const ACCUMULATED = 'owlore.accumulated';
export const SKIPPED = 'owlore.skipped';

/** Name of the number of times that the learning rate was halved. */
export const HALVINGS = 'owlore.halvings';

/** Name of the sum of the losses of the accumulated calls. */
export const LOSS_SUM = 'owlore.loss';

/** A factored sum of gradients is saved as `VARIABLE/owlore.terms.KIND.TENSOR`, and as its shape and axis. */
export const TERM_NAME = /^(.*)\/owlore\.terms\.(?:(\w+)\.(\w+)|shape)$/;

/** The integers that `getWeights` returned, as JSON: numbers by name, and lists of them for the clocks of variables. */
export type Counters = Record<string, number | number[]>;

/** Throws unless `counters` have the names and forms of what `getWeights` returned. */
export function checkCounters(owner: string, counters: unknown): asserts counters is Counters {
  const first = [STEPS, ACCUMULATED, SKIPPED];
  if (!isObject(counters) || first.some((name, i) => Object.keys(counters)[i] !== name)) {
    throw new Error(
      `${owner} must be numbers by name, the first of which are ${first.join(', ')}; got ${show(counters)}`,
    );
  }
  const isIn = (least: number, value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= MAX_STEPS;
  /** Of a variable; its place may be −1. */
  const areClocks = (value: unknown): boolean =>
    Array.isArray(value) && value.length === 4 && value.every((x, i) => isIn(i === 2 ? -1 : 0, x));
  for (const [name, value] of Object.entries(counters)) {
    const isOfVariable = name.endsWith(suffixes.clocks);
    if (!isOfVariable && name !== HALVINGS && !first.includes(name)) {
      throw new Error(`${owner}: ${show(name)} is no counter of this optimizer`);
    }
    if (isOfVariable ? areClocks(value) : isIn(0, value)) continue;
    const wanted = isOfVariable ? 'four integers, the third from -1 and the others' : 'an integer';
    throw new Error(
      `${owner}: ${show(name)} must be ${wanted} from 0 to ${MAX_STEPS}; got ${show(value)}`,
    );
  }
}

/** The variable that a saved tensor is a state of; null for a counter of the whole optimizer. */
export function variableOfSaved(name: string): string | null {
  const suffix = Object.values(suffixes).find((ending) => name.endsWith(ending));
  return suffix === undefined ? (TERM_NAME.exec(name)?.[1] ?? null) : name.slice(0, -suffix.length);
}
