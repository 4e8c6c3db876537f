import type {Tokenizer as LibraryTokenizer} from '@huggingface/tokenizers';
import {isObject} from '../../files/json';

/**
 * How many times as much as it is given the steps of a tokenizer may make, all together. Those in use make 10 times as much, and 140
 * times of the one character that Unicode takes apart into 18.
 */
const MAX_GROWTH = 200;
/** Characters that a short text counts for at least. */
const LEAST = 100;

/** Runs `body`, which gives a text, or tokens, to a tokenizer; throws if its steps make too much of it. */
export type LimitGrowth = <T>(given: string | readonly string[], body: () => T) => T;

type Method = (given: unknown, ...rest: unknown[]) => unknown;
/** A step, or several in one. */
type Step = Record<string, unknown> & {config?: Record<string, unknown>};

/** What the parts of a tokenizer are called, what runs a step of them, and the steps of one that is a sequence. */
const PARTS = [
  ['normalizer', 'normalize', 'normalizers'],
  ['pre_tokenizer', 'pre_tokenize', 'tokenizers'],
  ['post_processor', 'post_process', 'processors'],
  ['decoder', 'decode_chain', 'decoders'],
] as const;

/**
 * Limits what the steps of a stranger's tokenizer make of a text: forty that double it would take all memory, in operations that
 * nothing can interrupt. A step pays for what it may make before it begins.
 */
export function limitGrowth(library: LibraryTokenizer): LimitGrowth {
  let left = Infinity;
  const spend = (part: string, size: number): void => {
    left -= size;
    if (left >= 0) return;
    throw new Error(
      `its ${part} makes more than ${MAX_GROWTH} times as much of a text as it is given; ` +
        'take the tokenizer of a model that you trust, or mend its steps',
    );
  };
  for (const [part, method, steps] of PARTS) {
    const sizeOf = part === 'post_processor' ? countOf : charactersIn;
    const limit = (step: Step | null): void => {
      if (step === null) return;
      if (Array.isArray(step[steps])) {
        step[steps].forEach(limit);
        return;
      }
      const body = step[method] as Method;
      const factor = factorOf(step);
      step[method] = (given: unknown, ...rest: unknown[]): unknown => {
        const max = factor * sizeOf(given);
        spend(part, max);
        const made = body.call(step, given, ...rest);
        spend(part, Math.max(0, sizeOf(made) - max));
        return made;
      };
    };
    limit(library[part] as unknown as Step | null);
  }
  return (given, body) => {
    left = MAX_GROWTH * (charactersIn(given) + LEAST);
    try {
      return body();
    } finally {
      left = Infinity;
    }
  };
}

/** How many characters, or tokens, a step may make of one, to within a few times: what is more counts when it is there. */
function factorOf({config = {}, str_rep: written, pattern}: Step): number {
  const {content, prepend, single, behavior} = config;
  const lengths = [written, content, prepend].map((text) =>
    typeof text === 'string' ? text.length : 0,
  );
  const isSequence = (piece: unknown): boolean => isObject(piece) && 'Sequence' in piece;
  const sequences = Array.isArray(single) ? single.filter(isSequence).length : 0;
  // a split that removes what is between words puts the groups of its pattern in its place
  const groups = behavior && pattern instanceof RegExp ? pattern.source.split('(').length - 1 : 0;
  return Math.max(1, sequences, groups, ...lengths);
}

/** Characters of a text or of texts, and one for each text. */
function charactersIn(given: unknown): number {
  if (!Array.isArray(given)) return String(given).length + 1;
  let size = 0;
  for (const text of given as string[]) size += text.length + 1;
  return size;
}

/** Tokens, which are not copied. */
function countOf(given: unknown): number {
  const tokens = Array.isArray(given) ? given : (given as {tokens?: unknown}).tokens;
  return 1 + (Array.isArray(tokens) ? tokens.length : 0);
}
