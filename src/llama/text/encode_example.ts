import type {Example} from './formats';
import type {Tokenizer} from './tokenizer';

/** Label of a position that is not counted in the loss. */
export const IGNORED = -100;

/** The tokens of an example, and which of them are to be learned. */
export interface EncodedExample {
  ids: number[];
  isLearned: boolean[];
}

/**
 * Tokenizes an example. Learned are the answer to an instruction, with the token that ends it; the
 * assistant's turns of a chat; all of a text.
 *
 * @param learnPrompts Whether everything is learned whatever the format.
 * @throws if there is nothing to learn, or if the tokenizer's template does not take the messages.
 */
export function encodeExample(
  example: Example,
  tokenizer: Tokenizer,
  learnPrompts: boolean,
): EncodedExample {
  switch (example.format) {
    case 'text': {
      const ids = encodeEnded(tokenizer, example.text);
      return {ids, isLearned: ids.map(() => true)};
    }
    case 'alpaca': {
      const {prompt, answer} = example;
      const ids = encodeEnded(tokenizer, prompt + answer);
      const first = learnPrompts ? 0 : commonLength(ids, tokenizer.encode(prompt));
      return {ids, isLearned: ids.map((_, i) => i >= first)};
    }
    case 'chat':
      return encodeChat(example.messages, tokenizer, learnPrompts);
  }
}

/** The ids of a text, with the end token after it. */
function encodeEnded(tokenizer: Tokenizer, text: string): number[] {
  const ids = tokenizer.encode(text);
  const {eosTokenId} = tokenizer;
  // some tokenizers add it themselves
  if (eosTokenId !== null && ids.at(-1) !== eosTokenId) ids.push(eosTokenId);
  return ids;
}

/**
 * An answer begins where the template would let the model begin it, and ends where the template ends
 * the turn.
 */
function encodeChat(
  messages: Extract<Example, {format: 'chat'}>['messages'],
  tokenizer: Tokenizer,
  learnPrompts: boolean,
): EncodedExample {
  const textOf = (count: number, addGenerationPrompt: boolean): string =>
    tokenizer.applyChatTemplate(messages.slice(0, count), {addGenerationPrompt, tokenize: false});
  const whole = textOf(messages.length, false);
  const ids = tokenizer.encode(whole, {addSpecialTokens: false});
  if (learnPrompts) return {ids, isLearned: ids.map(() => true)};

  /** How many tokens of the whole text belong to its start, up to the first token that extends beyond it. */
  const tokensIn = (start: string, turn: number): number => {
    if (!whole.startsWith(start)) {
      throw new Error(
        `the chat template writes the turns before message ${turn + 1} otherwise once it is there, ` +
          'so that its answer cannot be told from its prompt',
      );
    }
    return commonLength(ids, tokenizer.encode(start, {addSpecialTokens: false}));
  };
  const isLearned = ids.map(() => false);
  messages.forEach(({role}, turn) => {
    if (role !== 'assistant') return;
    const from = turn === 0 ? 0 : tokensIn(textOf(turn, true), turn);
    const to = turn === messages.length - 1 ? ids.length : tokensIn(textOf(turn + 1, false), turn);
    isLearned.fill(true, from, to);
  });
  if (!isLearned.includes(true)) throw new Error("no message has the role 'assistant'");
  return {ids, isLearned};
}

/** How many ids two lists have in common at their start. */
function commonLength(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}
