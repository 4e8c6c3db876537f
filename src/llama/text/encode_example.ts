import {
  commonLength,
  tokensByNeighbours,
  tokensByPrefixes,
  turnsByNeighbours,
  turnsByPrefixes,
  type RenderChat,
} from './chat_turns';
import {ExampleError} from './example_error';
import type {Example} from './formats';
import type {EncodeOptions, Tokenizer} from './tokenizer';

/** Label of a position that is not counted in the loss. */
export const IGNORED = -100;

/** The tokens of an example, and which of them are to be learned. */
export interface EncodedExample {
  ids: number[];
  isLearned: boolean[];
  /** Whether more tokens follow. */
  isCut: boolean;
}

/**
 * Tokenizes an example. Learned are the answer to a prompt, with the token that ends it; the
 * assistant's turns of a chat; all of a text.
 *
 * @param learnPrompts Whether everything is learned whatever the format.
 * @param most How many tokens are needed: of a long text no more than its start is tokenized; default all.
 * @param longestByPrefixes Of a chat with more messages times characters turns are found in another way, which takes time in
 *   proportion to it. Default a million.
 * @throws if there is nothing to learn, or if the tokenizer's template does not take the messages.
 */
export function encodeExample(
  example: Example,
  tokenizer: Tokenizer,
  learnPrompts: boolean,
  max = Infinity,
  longestByPrefixes = LONGEST_BY_PREFIXES,
): EncodedExample {
  switch (example.format) {
    case 'text': {
      const {ids, isCut} = encodeEnded(tokenizer, example.text, max);
      return {ids, isLearned: ids.map(() => true), isCut};
    }
    case 'prompt-completion': {
      const {prompt, answer} = example;
      const {ids, isCut} = encodeEnded(tokenizer, prompt + answer, max);
      const first = learnPrompts ? 0 : commonLength(ids, encodeStart(tokenizer, prompt, max).ids);
      return {ids, isLearned: ids.map((_, i) => i >= first), isCut};
    }
    case 'chat':
      return encodeChat(example, tokenizer, learnPrompts, max, longestByPrefixes);
  }
}

/**
 * Throws if a token is outside of a model's vocabulary: not the example's fault, as dropping it would lose its tokens in every run.
 *
 * @param place What the message begins with: the file and the line.
 */
export function checkVocabulary(
  place: string,
  ids: readonly number[],
  tokenizer: Tokenizer,
  vocabSize: number,
): void {
  const outside = ids.find((id) => id >= vocabSize);
  if (outside === undefined) return;
  throw new Error(
    `${place}: token ${outside} ('${tokenizer.decode([outside])}') is outside the model's vocabulary of ${vocabSize}; the tokenizer ` +
      'belongs to another model',
  );
}

type Encoded = Pick<EncodedExample, 'ids' | 'isCut'>;

/** The ids of a text, with the end token after it unless they are cut. */
function encodeEnded(tokenizer: Tokenizer, text: string, max: number): Encoded {
  const {ids, isCut} = encodeStart(tokenizer, text, max);
  const {eosTokenId} = tokenizer;
  // some tokenizers add it themselves
  if (!isCut && eosTokenId !== null && ids.at(-1) !== eosTokenId) ids.push(eosTokenId);
  return {ids, isCut};
}

/** Characters of a text for each token that is needed; four are usual. */
const CHARACTERS = 16;

/**
 * The first ids of a text, as many as are needed. They are those of a start of the text that has twice as many: only the ids
 * near its end may differ from those of the whole text.
 */
function encodeStart(
  tokenizer: Tokenizer,
  text: string,
  max: number,
  options: EncodeOptions = {},
): Encoded {
  for (let length = CHARACTERS * max; length < text.length; length *= 4) {
    // not within a character
    const isPair = text.codePointAt(length - 1)! > 0xffff;
    const ids = tokenizer.encode(text.slice(0, isPair ? length + 1 : length), options);
    if (ids.length >= 2 * max) return {ids: ids.slice(0, max), isCut: true};
  }
  return {ids: tokenizer.encode(text, options), isCut: false};
}

/** Messages times characters of a chat in which turns are found by all that comes before each; in a longer one by a few neighbours. */
const LONGEST_BY_PREFIXES = 1_000_000;

/**
 * An answer begins where the template would let the model begin it, and ends where the template ends
 * the turn.
 */
function encodeChat(
  {messages, from: first = 0}: Extract<Example, {format: 'chat'}>,
  tokenizer: Tokenizer,
  learnPrompts: boolean,
  max: number,
  longestByPrefixes: number,
): EncodedExample {
  const render: RenderChat = (some, addGenerationPrompt) =>
    tokenizer.applyChatTemplate(some, {addGenerationPrompt, tokenize: false});
  const encode = (text: string, needed = max): Encoded =>
    encodeStart(tokenizer, text, needed, {addSpecialTokens: false});
  const whole = render(messages, false);
  const {ids, isCut} = encode(whole);
  if (learnPrompts) return {ids, isLearned: ids.map(() => true), isCut};
  const isAnswer = ({role}: {role: string}, turn: number): boolean =>
    role === 'assistant' && turn >= first;
  if (!messages.some(isAnswer)) throw new ExampleError("no message has the role 'assistant'");
  const isLong = messages.length * whole.length > longestByPrefixes;
  const [turnsOf, tokensOf] = isLong
    ? [turnsByNeighbours, tokensByNeighbours]
    : [turnsByPrefixes, tokensByPrefixes];
  const turns = turnsOf(messages, whole, render);
  const tokensUpTo = tokensOf(whole, ids, (text, needed) => encode(text, needed).ids);
  const isLearned = ids.map(() => false);
  for (const [turn, message] of messages.entries()) {
    if (!isAnswer(message, turn)) continue;
    const from = tokensUpTo(turns.start(turn));
    // turns that are cut off cost nothing
    if (from === ids.length) break;
    const to = turn === messages.length - 1 ? ids.length : tokensUpTo(turns.end(turn));
    isLearned.fill(true, from, to);
  }
  return {ids, isLearned, isCut};
}
