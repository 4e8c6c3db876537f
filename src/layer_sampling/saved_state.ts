/** Where a {@link LayerSamplingCallback} stands between two batches, as JSON. */
import {callbackName} from '../layer_sampling_options';
import {display} from '../options';
import type {SamplingProbabilities} from '../sampling/probabilities';
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
  /** Names of the blocks that were on in each period so far. */
  periods: string[][];
}

/** Throws unless `value` has the form of a state. */
export function checkSamplingState(
  owner: string,
  value: unknown,
): asserts value is LayerSamplingState {
  const {blocks, probabilities, periods, steps, open} = (value ??
    {}) as Partial<LayerSamplingState>;
  const isCount = (x: unknown): boolean => Number.isInteger(x) && (x as number) >= 0;
  const isNames = (x: unknown): x is string[] =>
    Array.isArray(x) && x.every((name) => typeof name === 'string');
  const isRight =
    isNames(blocks) &&
    typeof probabilities === 'object' &&
    Array.isArray(periods) &&
    periods.every((names) => isNames(names) && names.every((name) => blocks.includes(name))) &&
    isCount(steps) &&
    (open === null || (isCount(open?.iterations) && isCount(open?.accumulated)));
  if (isRight) return;
  throw new Error(
    `${owner}: a state must be {blocks, probabilities, periods, steps, open}, as callback.getState() gives it; got ${display(value)}`,
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
      `${callbackName}: the restored state is of a model with the blocks ${blocks.join(', ')}; this one has ${ownBlocks.join(', ')}`,
    );
  }
  const [saved, own] = [probabilities, ownProbabilities].map((each) => each && drawn(each));
  if (saved === own) return;
  throw new Error(
    `${callbackName}: the restored state was drawn with the probabilities ${saved}; those of this model are ${own}. Freeze the ` +
      'same layers as then, and give the same scores',
  );
}

/** The blocks that are drawn, with their probabilities. */
function drawn({blocks, probabilities}: SamplingProbabilities): string {
  return probabilities.map((p, i) => `${blocks?.[i] ?? i}: ${p}`).join(', ');
}
