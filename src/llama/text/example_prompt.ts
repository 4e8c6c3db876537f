import type {Example} from './formats';
import type {Tokenizer} from './tokenizer';

/** The beginning of an example, which a model is to go on from. */
export interface ExamplePrompt {
  /** What a person has said or written: of a chat the message before the first answer. */
  text: string;
  /** All that comes before, as the model reads it. */
  ids: number[];
  /** Whether the model is to answer it, and not to go on with the text. */
  isAsked: boolean;
}

/** Tokens of a text that are its beginning, or half of it where that is less, and the characters that are looked at for them. */
const [BEGINNING, LOOKED_AT] = [16, 1000];

/** The tokens of a text that is to go on: without the end of a text that some tokenizers add. */
export function encodePrompt(tokenizer: Tokenizer, text: string): number[] {
  const ids = tokenizer.encode(text);
  const {eosTokenId} = tokenizer;
  if (eosTokenId === null || ids.at(-1) !== eosTokenId) return ids;
  const isOfText = tokenizer.encode(text, {addSpecialTokens: false}).at(-1) === eosTokenId;
  return isOfText ? ids : ids.slice(0, -1);
}

/** The beginning of an example; null if it begins with an answer, or has nothing before one. */
export function promptOf(example: Example, tokenizer: Tokenizer): ExamplePrompt | null {
  switch (example.format) {
    case 'text': {
      const ids = encodePrompt(tokenizer, example.text.slice(0, LOOKED_AT));
      const begun = ids.slice(0, Math.min(BEGINNING, Math.ceil(ids.length / 2)));
      return {text: tokenizer.decode(begun, {skipSpecialTokens: true}), ids: begun, isAsked: false};
    }
    case 'prompt-completion':
      return {text: example.prompt, ids: encodePrompt(tokenizer, example.prompt), isAsked: true};
    case 'chat': {
      const {messages, from = 0} = example;
      const first = messages.findIndex(({role}, i) => i >= from && role === 'assistant');
      if (first <= 0) return null;
      const before = messages.slice(0, first);
      return {
        text: before.at(-1)!.content,
        ids: tokenizer.applyChatTemplate(before, {addGenerationPrompt: true}),
        isAsked: true,
      };
    }
  }
}
