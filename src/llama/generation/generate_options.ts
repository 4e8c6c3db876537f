import {checkKnown, checkNumber, display, seedRange} from '../../options';

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
  /** Seed of the draws, an integer in [0, 2³² − 1]; default null: other draws each time. */
  seed?: number | null;
  /** Ends after one of these token ids, or sequences of ids, which are part of the result; default none. */
  stop?: number | ReadonlyArray<number | readonly number[]>;
  /**
   * Called with each new token and with all new ones so far, and awaited. If it returns false the text ends
   * here; if it throws, `generate` throws the same.
   */
  onToken?: (id: number, ids: readonly number[]) => unknown;
}

/** The limits of a model that `generate` must know. */
export interface ModelLimits {
  vocabSize: number;
  maxPositionEmbeddings: number;
}

/** The options with their defaults, checked. */
export interface ResolvedGenerateOptions {
  maxNewTokens: number;
  temperature: number;
  topK: number | null;
  topP: number;
  seed: number;
  stop: ReadonlyArray<readonly number[]>;
  onToken: GenerateOptions['onToken'];
}

const OWNER = 'generate';
const KNOWN = [
  'maxNewTokens',
  'temperature',
  'topK',
  'topP',
  'seed',
  'stop',
  'onToken',
] as const satisfies ReadonlyArray<keyof GenerateOptions>;

/** The defaults; `maxNewTokens` is lower where the model has fewer positions left. */
export const generateDefaults = {
  maxNewTokens: 128,
  temperature: 0,
  topK: null,
  topP: 1,
} as const satisfies GenerateOptions;

/** @throws if the prompt is empty or too long, or has an id that is not in the vocabulary. */
export function checkPrompt(
  ids: ArrayLike<number>,
  {vocabSize, maxPositionEmbeddings}: ModelLimits,
): number[] {
  const isList = Array.isArray(ids) || ArrayBuffer.isView(ids);
  if (!isList) throw new Error(`${OWNER}: ids must be a list of token ids; got ${display(ids)}`);
  if (ids.length === 0) throw new Error(`${OWNER}: ids must have at least one token`);
  const prompt = Array.from<number>(ids);
  prompt.forEach((id, i) => {
    checkNumber(OWNER, `ids[${i}]`, id, idRange(vocabSize));
  });
  if (prompt.length >= maxPositionEmbeddings) {
    throw new Error(
      `${OWNER}: ids must have fewer than maxPositionEmbeddings = ${maxPositionEmbeddings} tokens, ` +
        `so that one can follow; got ${prompt.length}`,
    );
  }
  return prompt;
}

/** @throws if an option is unknown, or out of the range that model and prompt allow. */
export function resolveGenerateOptions(
  options: GenerateOptions,
  promptLength: number,
  {vocabSize, maxPositionEmbeddings}: ModelLimits,
): ResolvedGenerateOptions {
  checkKnown(OWNER, options, KNOWN);
  const positionsLeft = maxPositionEmbeddings - promptLength;
  const {
    maxNewTokens = Math.min(generateDefaults.maxNewTokens, positionsLeft),
    temperature = generateDefaults.temperature,
    topK = generateDefaults.topK,
    topP = generateDefaults.topP,
    seed = null,
    stop = [],
    onToken,
  } = options;
  checkNumber(OWNER, 'maxNewTokens', maxNewTokens, {integer: true, min: 1});
  if (maxNewTokens > positionsLeft) {
    throw new Error(
      `${OWNER}: maxNewTokens must be at most ${positionsLeft}, for the model has ` +
        `maxPositionEmbeddings = ${maxPositionEmbeddings} positions and the prompt takes ` +
        `${promptLength}; got ${maxNewTokens}`,
    );
  }
  checkNumber(OWNER, 'temperature', temperature, {min: 0});
  if (topK !== null) checkNumber(OWNER, 'topK', topK, {integer: true, min: 1});
  checkNumber(OWNER, 'topP', topP, {exclusiveMin: 0, max: 1});
  if (seed !== null) checkNumber(OWNER, 'seed', seed, seedRange);
  if (onToken !== undefined && typeof onToken !== 'function') {
    throw new Error(`${OWNER}: onToken must be a function; got ${display(onToken)}`);
  }
  return {
    maxNewTokens,
    temperature,
    topK,
    topP,
    seed: seed ?? Math.floor(Math.random() * 2 ** 32),
    stop: stopSequences(stop, vocabSize),
    onToken,
  };
}

function stopSequences(stop: unknown, vocabSize: number): number[][] {
  if (typeof stop !== 'number' && !Array.isArray(stop)) {
    throw new Error(
      `${OWNER}: stop must be a token id or a list of ids and lists of ids; got ${display(stop)}`,
    );
  }
  return [stop].flat().map((entry: unknown, i) => {
    const name = `stop[${i}]`;
    const sequence: unknown[] = Array.isArray(entry) ? entry : [entry];
    if (sequence.length === 0) throw new Error(`${OWNER}: ${name} must have at least one token`);
    for (const id of sequence) checkNumber(OWNER, name, id, idRange(vocabSize));
    return sequence as number[];
  });
}

function idRange(vocabSize: number): {integer: true; min: number; exclusiveMax: number} {
  return {integer: true, min: 0, exclusiveMax: vocabSize};
}
