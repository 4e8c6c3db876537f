import {
  checkKnown,
  checkNumber,
  defaultsOf,
  display,
  resolveOptions,
  seedRange,
  type OptionTable,
} from '../../common/options';
import {pick} from '../pick';
import {PromptCache} from './prompt_cache';
import type {SamplingOptions} from './token_probabilities';

/** A text that `generate` or `generateBatch` has written. */
export interface Generation {
  /** The new tokens, without the prompt; a stop token or sequence is the last of them. */
  ids: number[];
  /** Why it ended: `maxNewTokens`, one of `stop`, an `onToken` that returned false, or `signal`. */
  finishReason: 'length' | 'stop' | 'onToken' | 'abort';
}

/** Options of `generate`; the names are those of Hugging Face's `generate` in camel case. */
export interface GenerateOptions {
  /** The most new tokens, at least 1; default 128, or fewer if the model has fewer positions left. */
  maxNewTokens?: number;
  /**
   * 0: always the most probable token. Above 0: tokens are drawn, with the logits divided by it; 1 is the
   * model's own distribution. Default 0.
   */
  temperature?: number;
  /** Only this many most probable tokens may be drawn; default null: all (in Hugging Face's `generate` it is 50). */
  topK?: number | null;
  /**
   * Tokens are drawn from the fewest most probable ones that have this probability together; above 0, at
   * most 1; default 1.
   */
  topP?: number;
  /**
   * Only tokens may be drawn that are at least this part as probable as the most probable one; from 0 to 1, default 0: all (min-p
   * sampling, Nguyen et al. 2024).
   */
  minP?: number;
  /**
   * Above 1, tokens that are in the text already, prompt included, become less probable: their logits are divided by it, or multiplied
   * where they are below 0 (Keskar et al. 2019). Above 0; below 1 they become more probable. It counts without draws as well. Default 1.
   */
  repetitionPenalty?: number;
  /**
   * Seed of the draws, an integer in [0, 2³² − 1]; default null: other draws each time. Of several prompts, prompt `i` has the
   * seed `seed + i` (modulo 2³²).
   */
  seed?: number | null;
  /** Ends after one of these token ids, or sequences of ids, which are part of the result; default, and null: none. */
  stop?: number | ReadonlyArray<number | readonly number[]> | null;
  /**
   * Called with each new token, with all new ones of its text so far, and with the place of its prompt (0 if there is only one), and
   * awaited. If it returns false this text ends here; if it throws, `generate` throws the same.
   */
  onToken?: (id: number, ids: readonly number[], index: number) => unknown;
  /**
   * When it is aborted, texts end where they are, before the next token or piece of a prompt, with the `finishReason` `'abort'`; no
   * further prompt is begun. With a signal, events such as a click or a timer get their turn before each token. Default none.
   */
  signal?: AbortSignal;
  /** Keys and values of an earlier text, whose tokens are not read again where this prompt has them too; default none. */
  cache?: PromptCache;
}

/** Options of `generateBatch`: those of `generate`, without `cache`, and these. */
export interface GenerateBatchOptions extends Omit<GenerateOptions, 'cache'> {
  /**
   * The most texts that are written at a time, at least 1; default 8. Each has its own keys and values; the weights are read once
   * for all.
   */
  batchSize?: number;
  /** Called with each text when it has ended, and with the place of its prompt, and awaited; if it throws, `generateBatch` throws the same. */
  onResult?: (generation: Generation, index: number) => unknown;
}

/** The limits of a model that `generate` must know. */
export interface ModelLimits {
  vocabSize: number;
  maxPositionEmbeddings: number;
}

/** The options with their defaults, checked; `maxNewTokens` is of each prompt ({@link newTokensAfter}). */
export interface ResolvedGenerateOptions extends SamplingOptions {
  seed: number;
  stop: ReadonlyArray<readonly number[]>;
  onToken: GenerateOptions['onToken'];
  signal: AbortSignal | undefined;
  batchSize: number;
  onResult: GenerateBatchOptions['onResult'];
}

/** How the next token is chosen. */
export const samplingOptions: OptionTable<SamplingOptions> = {
  temperature: {default: 0, check: {min: 0}},
  topK: {default: null, check: {integer: true, min: 1}},
  topP: {default: 1, check: {exclusiveMin: 0, max: 1}},
  minP: {default: 0, check: {min: 0, max: 1}},
  repetitionPenalty: {default: 1, check: {exclusiveMin: 0}},
};
export const samplingNames = [
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
] as const satisfies ReadonlyArray<keyof SamplingOptions>;

const BOTH = [
  'maxNewTokens',
  ...samplingNames,
  'seed',
  'stop',
  'onToken',
  'signal',
] as const satisfies ReadonlyArray<keyof GenerateOptions & keyof GenerateBatchOptions>;
const GENERATE_OPTIONS = [...BOTH, 'cache'] as const satisfies ReadonlyArray<keyof GenerateOptions>;
const BATCH_OPTIONS = [...BOTH, 'batchSize', 'onResult'] as const satisfies ReadonlyArray<
  keyof GenerateBatchOptions
>;

/** The defaults; `maxNewTokens` is lower where the model has fewer positions left. */
export const generateDefaults = {
  maxNewTokens: 128,
  ...defaultsOf(samplingOptions),
  batchSize: 8,
} satisfies GenerateBatchOptions;

const isList = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || ArrayBuffer.isView(value);

/**
 * A prompt as an array.
 *
 * @param name What messages of `owner` call it.
 * @throws if the prompt is empty or too long, or has an id that is not in the vocabulary.
 */
export function checkPrompt(
  owner: string,
  name: string,
  ids: unknown,
  {vocabSize, maxPositionEmbeddings}: ModelLimits,
): number[] {
  if (!isList(ids)) {
    throw new Error(`${owner}: ${name} must be a list of token ids; got ${display(ids)}`);
  }
  if (ids.length === 0) throw new Error(`${owner}: ${name} must have at least one token`);
  const prompt = Array.from<unknown>(ids).map((id, i) => {
    checkNumber(owner, `${name}[${i}]`, id, idRange(vocabSize));
    return id;
  });
  if (prompt.length >= maxPositionEmbeddings) {
    throw new Error(
      `${owner}: ${name} must have fewer than maxPositionEmbeddings = ${maxPositionEmbeddings} tokens, ` +
        `so that one can follow; got ${prompt.length}`,
    );
  }
  return prompt;
}

/**
 * How many tokens may follow a prompt.
 *
 * @throws if `maxNewTokens` is not valid, or the model has fewer positions left.
 */
export function newTokensAfter(
  owner: string,
  promptLength: number,
  {maxNewTokens}: GenerateOptions,
  {maxPositionEmbeddings}: ModelLimits,
  promptText = '',
): number {
  const positionsLeft = maxPositionEmbeddings - promptLength;
  if (maxNewTokens === undefined) return Math.min(generateDefaults.maxNewTokens, positionsLeft);
  checkNumber(owner, 'maxNewTokens', maxNewTokens, {integer: true, min: 1});
  if (maxNewTokens <= positionsLeft) return maxNewTokens;
  throw new Error(
    `${owner}: maxNewTokens must be at most ${positionsLeft}${promptText}, for the model has ` +
      `maxPositionEmbeddings = ${maxPositionEmbeddings} positions and the prompt takes ` +
      `${promptLength}; got ${maxNewTokens}`,
  );
}

/** @throws if an option is unknown, or out of its range. */
export function resolveGenerateOptions(
  owner: string,
  options: GenerateOptions & GenerateBatchOptions,
  {vocabSize}: ModelLimits,
): ResolvedGenerateOptions {
  checkKnown(owner, options, owner === 'generate' ? GENERATE_OPTIONS : BATCH_OPTIONS);
  const {
    seed = null,
    stop = [],
    onToken,
    signal,
    cache,
    batchSize = generateDefaults.batchSize,
    onResult,
  } = options;
  const sampling = resolveOptions(owner, samplingOptions, pick(options, samplingNames));
  if (seed !== null) checkNumber(owner, 'seed', seed, seedRange);
  checkNumber(owner, 'batchSize', batchSize, {integer: true, min: 1});
  for (const [name, callback] of Object.entries({onToken, onResult})) {
    if (callback === undefined || typeof callback === 'function') continue;
    throw new Error(`${owner}: ${name} must be a function; got ${display(callback)}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new Error(`${owner}: signal must be an AbortSignal; got ${display(signal)}`);
  }
  if (cache !== undefined && !(cache instanceof PromptCache)) {
    throw new Error(`${owner}: cache must be a PromptCache; got ${display(cache)}`);
  }
  return {
    ...sampling,
    seed: seed ?? Math.floor(Math.random() * 2 ** 32),
    stop: stopSequences(owner, stop, vocabSize),
    onToken,
    signal,
    batchSize,
    onResult,
  };
}

function stopSequences(owner: string, stop: unknown, vocabSize: number): number[][] {
  if (stop === null) return [];
  if (typeof stop !== 'number' && !Array.isArray(stop)) {
    throw new Error(
      `${owner}: stop must be a token id or a list of ids and lists of ids; got ${display(stop)}`,
    );
  }
  return [stop].flat().map((entry: unknown, i) => {
    const name = `stop[${i}]`;
    const sequence: unknown[] = Array.isArray(entry) ? entry : [entry];
    if (sequence.length === 0) throw new Error(`${owner}: ${name} must have at least one token`);
    for (const id of sequence) checkNumber(owner, name, id, idRange(vocabSize));
    return sequence as number[];
  });
}

function idRange(vocabSize: number): {integer: true; min: number; exclusiveMax: number} {
  return {integer: true, min: 0, exclusiveMax: vocabSize};
}
