import {encodePrompt} from '../text/example_prompt';
import type {Tokenizer} from '../text/tokenizer';
import type {Continuation} from './log_likelihood';

/**
 * The tokens of a context and of its continuation. Both are tokenized together, and as many tokens count as
 * the context as it has by itself. Space at the end of the context is moved to the continuation, because
 * tokens begin with it. This is the rule of lm-evaluation-harness (`_encode_pair`).
 */
export function encodeContinuation(
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
): Continuation {
  const all = encodePrompt(tokenizer, context + continuation);
  const {length} = encodePrompt(tokenizer, context.trimEnd());
  return {context: all.slice(0, length), continuation: all.slice(length)};
}
