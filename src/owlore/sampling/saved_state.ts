/** Where a {@link LayerSamplingCallback} stands between two batches, as JSON. */
import {callbackName} from './options';
import {checkChoice, checkNumber, stepRange, cut, display} from '../../common/options';
import {probabilityMethods, type SamplingProbabilities} from './probabilities';
import type {CountedSteps} from './step_counter';

/**
 * What a callback needs to go on where another one stood. The random state of the draws is the seed, which is an option, and the
 * number of periods.
 */
export interface LayerSamplingState extends CountedSteps {
  /** The model's blocks, in its order; none before training has begun. */
  blocks: string[];
  /** The probabilities of the blocks that can train; null if nothing was drawn. */
  probabilities: SamplingProbabilities | null;
  /** Steps of a period; null if that is not chosen yet, see the option `interval`. */
  interval: number | null;
  /** Names of the blocks that were on in each period so far. */
  periods: string[][];
}

/**
 * Throws unless `value` has the form of a state.
 *
 * @param ownInterval Steps of a period, if the callback has that option.
 */
export function checkSamplingState(
  owner: string,
  value: unknown,
  ownInterval: number | 'auto' = 'auto',
): asserts value is LayerSamplingState {
  checkObject(owner, 'a state', value, '{blocks, probabilities, interval, periods, steps, open}');
  const {blocks, probabilities, interval, periods, steps, open} = value;
  checkNames(owner, 'blocks', blocks);
  if (probabilities !== null) checkProbabilities(owner, probabilities);
  if (!Array.isArray(periods)) throw wrong(owner, 'periods', 'a list of periods', periods);
  const known = new Set(blocks);
  for (const [i, names] of (periods as unknown[]).entries()) {
    const period = `periods[${i}]`;
    checkNames(owner, period, names);
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined) throw wrong(owner, period, 'names of its blocks', unknown);
  }
  checkNumber(owner, 'steps', steps, stepRange);
  if (interval !== null) {
    checkNumber(owner, 'interval', interval, {...stepRange, min: 1});
    if (ownInterval !== 'auto' && interval !== ownInterval) {
      throw wrong(owner, 'interval', `${ownInterval}, the callback's`, interval);
    }
  }
  // Before training there are no blocks, whatever initialStep is.
  if (blocks.length + periods.length > 0) {
    if (interval === null) throw wrong(owner, 'interval', 'a number, with blocks', interval);
    const max = periods.length * interval;
    const min = Math.max(0, max - interval);
    const what = `steps of ${periods.length} periods of ${interval}`;
    checkNumber(owner, what, steps, {integer: true, min, max: max});
  }
  if (open === null) return;
  checkObject(owner, 'open', open, 'null, or {iterations, accumulated}');
  checkNumber(owner, 'open.iterations', open['iterations'], stepRange);
  checkNumber(owner, 'open.accumulated', open['accumulated'], stepRange);
}

function checkProbabilities(owner: string, value: unknown): void {
  const name = 'probabilities';
  checkObject(owner, name, value, 'null, or what samplingProbabilities gives');
  const {blocks, gamma, method, floor} = value;
  checkNames(owner, `${name}.blocks`, blocks);
  for (const list of ['probabilities', 'shares']) {
    const numbers = value[list];
    const isRight =
      Array.isArray(numbers) &&
      numbers.length === blocks.length &&
      numbers.every((x) => Number.isFinite(x) && (x as number) >= 0);
    if (isRight) continue;
    throw wrong(owner, `${name}.${list}`, 'a number >= 0 for each of its blocks', numbers);
  }
  checkNumber(owner, `${name}.gamma`, gamma, {min: 0});
  checkChoice(owner, `${name}.method`, method, probabilityMethods);
  checkNumber(owner, `${name}.floor`, floor, {min: 0, max: 1});
}

function checkObject(
  owner: string,
  name: string,
  value: unknown,
  what: string,
): asserts value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(owner, name, what, value);
  }
}

function checkNames(owner: string, name: string, value: unknown): asserts value is string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return;
  throw wrong(owner, name, 'a list of names', value);
}

function wrong(owner: string, name: string, what: string, value: unknown): Error {
  return new Error(
    `${owner}: ${name} must be ${what}, as callback.getState() gives it; got ${display(value)}`,
  );
}

/** Throws unless a state is of a model with these blocks, drawn with these probabilities. */
export function checkStateFits(
  {blocks, probabilities}: LayerSamplingState,
  ownBlocks: readonly string[],
  ownProbabilities: SamplingProbabilities | null,
): void {
  if (blocks.join('\0') !== ownBlocks.join('\0')) {
    throw new Error(
      `${callbackName}: the restored state is of a model with the blocks ${cut(blocks.join(', '))}; this one has ` +
        ownBlocks.join(', '),
    );
  }
  const [saved, own] = [probabilities, ownProbabilities].map((each) => each && drawn(each));
  if (saved === own) return;
  throw new Error(
    `${callbackName}: the restored state was drawn with the probabilities ${cut(String(saved))}; those of this model are ${own}. ` +
      'Freeze the same layers as then, and give the same scores',
  );
}

/** The blocks that are drawn, with their probabilities. */
function drawn({blocks, probabilities}: SamplingProbabilities): string {
  return probabilities.map((p, i) => `${blocks?.[i] ?? i}: ${p}`).join(', ');
}
