import type {Tokenizer} from '../text/tokenizer';
import type {Continuation} from './log_likelihood';

/**
 * The tokens of a context and of what follows it: those of both together, of which as many belong to the
 * context as it has by itself. Space at the context's end goes to the continuation, where tokens have it.
 * The rule of lm-evaluation-harness (`_encode_pair`).
 */
export function encodeContinuation(
  tokenizer: Tokenizer,
  context: string,
  continuation: string,
): Continuation {
  const all = tokenizer.encode(context + continuation);
  const {length} = tokenizer.encode(context.trimEnd());
  return {context: all.slice(0, length), continuation: all.slice(length)};
}
