import isSafe from 'safe-regex2';
import type {Tokenizer as LibraryTokenizer} from '@huggingface/tokenizers';
import {show} from '../../files/json';

/** More repetitions than the patterns of known tokenizers have, which is 20. */
const MAX_REPETITIONS = 50;

/**
 * Refuses patterns with a repetition within a repetition, for places where nothing can stop one that backtracks for ever. All
 * patterns of known tokenizers are without.
 *
 * @throws with a message that the name of the file can be put before.
 */
export function checkPatterns({normalizer, pre_tokenizer, decoder}: LibraryTokenizer): void {
  for (const pattern of patternsIn([normalizer, pre_tokenizer, decoder])) {
    if (isSafe(pattern, {limit: MAX_REPETITIONS})) continue;
    throw new Error(
      `the pattern ${show(pattern.source)} may take for ever, and a page cannot stop it; load the tokenizer in Node`,
    );
  }
}

function* patternsIn(value: unknown): Generator<RegExp> {
  if (value instanceof RegExp) yield value;
  else if (typeof value === 'object' || typeof value === 'function') {
    for (const part of Object.values(value ?? {})) yield* patternsIn(part);
  }
}
