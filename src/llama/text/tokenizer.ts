import type {Tokenizer as LibraryTokenizer} from '@huggingface/tokenizers';
import {checkArgument, checkKnown, checkNumber} from '../../common/options';
import {isObject, show} from '../../files/json';
import type {ChatMessage, ChatTemplate} from './chat_template';
import {reasonOf} from './reason';
import type {TimeLimit} from './time_limit';
import type {LimitedTokenizer, TokenizerJson} from './tokenizer_library';

/** Options of `Tokenizer.encode`. */
export interface EncodeOptions {
  /** Whether to add the tokens that the tokenizer puts around a text, such as `<s>` before it; default true. */
  addSpecialTokens?: boolean;
}

/** Options of `Tokenizer.decode`. */
export interface DecodeOptions {
  /** Whether to leave out special tokens, such as `</s>`; default false. */
  skipSpecialTokens?: boolean;
}

/** Options of `Tokenizer.applyChatTemplate`. */
export interface ChatOptions {
  /** Whether the text ends where the assistant's answer begins; default false. */
  addGenerationPrompt?: boolean;
  /** Whether to return token ids rather than the text; default true. */
  tokenize?: boolean;
  /** Further variables that the template reads, such as `tools` or `enable_thinking`; default none. */
  variables?: Record<string, unknown>;
}

/** Text to token ids and back; made by `loadTokenizer`. */
export interface Tokenizer {
  /** One more than the largest id; the model may have more. */
  readonly vocabSize: number;
  /** The token before a text, null if there is none. */
  readonly bosTokenId: number | null;
  /** The token after a text or an answer, null if there is none. */
  readonly eosTokenId: number | null;
  /** The token that fills rows, null if there is none. */
  readonly padTokenId: number | null;
  /** Whether `applyChatTemplate` can be used. */
  readonly hasChatTemplate: boolean;

  /**
   * The ids of a text. Special tokens written in it become their ids.
   *
   * @throws if `text` is not a string.
   */
  encode(text: string, options?: EncodeOptions): number[];

  /**
   * The text of ids. Bytes that are not UTF-8, as in a part of a character, become U+FFFD; ids
   * without a token, which models with a rounded-up vocabulary have, become nothing.
   *
   * @throws if `ids` is not an array, or has something else than integers from 0.
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;

  /**
   * A chat in the model's own format: its ids, or with `tokenize: false` its text.
   *
   * @throws if the tokenizer has no template, or with the template's own message if it does not take
   *   the messages.
   */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatOptions & {tokenize: false},
  ): string;
  /** The same; ids. */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatOptions & {tokenize?: true},
  ): number[];
}

/** The parts of `tokenizer_config.json` that are read here. */
export interface TokenizerConfig {
  bos_token?: SpecialToken;
  eos_token?: SpecialToken;
  pad_token?: SpecialToken;
  unk_token?: SpecialToken;
  add_bos_token?: boolean | null;
  add_eos_token?: boolean | null;
  chat_template?: string | Array<{name: string; template: string}> | null;
}

/** Older files have an object in place of the text. */
type SpecialToken = string | {content: string} | null;

/** What a tokenizer is made of. */
export interface TokenizerParts {
  json: TokenizerJson;
  config: TokenizerConfig;
  chatTemplate: ChatTemplate | null;
  createLibraryTokenizer: (json: TokenizerJson) => LimitedTokenizer;
  /** Of texts and ids; default: they may take their time. */
  limitTime?: TimeLimit;
  /** Throws if a pattern may take for ever; default: patterns are known, or limited. */
  checkPatterns?: (library: LibraryTokenizer) => void;
}

/** Seconds that a text may take, and the characters for which it gets one more. */
const SECONDS = 5;
const CHARACTERS_A_SECOND = 20_000;

/** A model that knows no token. */
const NO_MODEL = {type: 'BPE', vocab: {}, merges: []};

/** Fields of `tokenizer_config.json`. */
export const NAMED_TOKENS = ['bos_token', 'eos_token', 'pad_token', 'unk_token'] as const;

/** The tokenizer of the files' contents. */
export function createTokenizer({
  json,
  config,
  chatTemplate,
  createLibraryTokenizer,
  limitTime,
  checkPatterns,
}: TokenizerParts): Tokenizer {
  const texts = Object.fromEntries(
    NAMED_TOKENS.flatMap((name) => {
      const token = config[name];
      if (token == null) return [];
      return [[name, typeof token === 'string' ? token : token.content]];
    }),
  );
  const whole = withEnds(json, config, texts);
  /** Does what the library does with a text or with tokens, within limits. */
  const limit = <T>(
    {limitGrowth}: LimitedTokenizer,
    given: string | string[],
    body: () => T,
  ): T => {
    const seconds = Math.ceil(SECONDS + given.length / CHARACTERS_A_SECOND);
    return limitGrowth(given, () => (limitTime ? limitTime('it', seconds, body) : body()));
  };

  // the library normalizes added tokens when it is made: a library without them, and without limits, tries that
  const added = (whole.added_tokens ?? []).map(({content}) => content);
  const steps = createLibraryTokenizer({...whole, model: NO_MODEL, added_tokens: []});
  checkPatterns?.(steps.library);
  const {normalizer} = steps.library;
  if (normalizer) limit(steps, added, () => added.forEach((token) => normalizer.normalize(token)));

  const limited = createLibraryTokenizer(whole);
  const {library, specialTokens} = limited;
  const attempt = <T>(what: string, given: string | string[], body: () => T): T => {
    try {
      return limit(limited, given, body);
    } catch (cause) {
      const reason = reasonOf(cause, 'a shorter text, or the tokenizer of a model that you trust');
      throw new Error(`${what}: tokenizer.json cannot be applied: ${reason}`, {cause});
    }
  };
  const idOf = (text: string | undefined): number | null =>
    text === undefined ? null : (library.token_to_id(text) ?? null);
  let vocabSize = 0;
  for (const id of library.get_vocab().values()) vocabSize = Math.max(vocabSize, id + 1);

  const encode = (text: string, options: EncodeOptions = {}): number[] => {
    checkArgument('encode', 'text', text, 'a text', typeof text === 'string');
    checkKnown('encode', options, ['addSpecialTokens']);
    const {addSpecialTokens = true} = options;
    return attempt('encode', text, () => {
      const {ids, tokens} = library.encode(text, {add_special_tokens: addSpecialTokens});
      const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
      if (wrong < 0) return ids;
      throw new Error(
        `it makes a token ${show(tokens[wrong])} and gives it the id ${show(ids[wrong])}`,
      );
    });
  };

  const decode = (ids: ArrayLike<number>, options: DecodeOptions = {}): string => {
    checkIds('decode', ids);
    checkKnown('decode', options, ['skipSpecialTokens']);
    const {skipSpecialTokens = false} = options;
    const known = Array.from(ids).filter((id) => {
      const token = library.id_to_token(id);
      return token !== undefined && !(skipSpecialTokens && specialTokens.has(token));
    });
    // the library throws for an empty list
    if (known.length === 0) return '';
    const tokens = known.map((id) => library.id_to_token(id)!);
    return attempt('decode', tokens, () =>
      library.decode(known, {
        skip_special_tokens: skipSpecialTokens,
        // meant for WordPiece: it would remove spaces of the text, so transformers ignores it for BPE
        clean_up_tokenization_spaces: false,
      }),
    );
  };

  function applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatOptions & {tokenize: false},
  ): string;
  function applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatOptions & {tokenize?: true},
  ): number[];
  function applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): string | number[] {
    checkKnown('applyChatTemplate', options, ['addGenerationPrompt', 'tokenize', 'variables']);
    const {addGenerationPrompt = false, tokenize = true, variables = {}} = options;
    if (chatTemplate === null) {
      throw new Error(
        'applyChatTemplate: the tokenizer has no chat template, neither in tokenizer_config.json ' +
          'nor as chat_template.jinja',
      );
    }
    const text = chatTemplate(messages, {
      ...texts,
      ...variables,
      add_generation_prompt: addGenerationPrompt,
    });
    return tokenize ? encode(text, {addSpecialTokens: false}) : text;
  }

  return {
    vocabSize,
    bosTokenId: idOf(texts['bos_token']),
    eosTokenId: idOf(texts['eos_token']),
    padTokenId: idOf(texts['pad_token']),
    hasChatTemplate: chatTemplate !== null,
    encode,
    decode,
    applyChatTemplate,
  };
}

/** Throws unless `ids` is an array, of whichever kind, of what may be ids. */
function checkIds(owner: string, ids: unknown): asserts ids is ArrayLike<number> {
  const {length} = Object(ids) as {length?: unknown};
  const isArray = typeof ids === 'object' && Number.isInteger(length);
  checkArgument(owner, 'ids', ids, 'an array of token ids', isArray);
  const all = Array.from(ids as ArrayLike<unknown>);
  const wrong = all.findIndex((id) => !(Number.isInteger(id) && (id as number) >= 0));
  if (wrong >= 0) checkNumber(owner, `ids[${wrong}]`, all[wrong], {integer: true, min: 0});
}

/**
 * `tokenizer.json` with `add_bos_token` and `add_eos_token` of `tokenizer_config.json`, which in transformers 4
 * override its post-processor. What is around a text by the post-processor stays where one of them is missing.
 */
function withEnds(
  json: TokenizerJson,
  {add_bos_token: addBos, add_eos_token: addEos}: TokenizerConfig,
  texts: Record<string, string>,
): TokenizerJson {
  if (addBos === undefined && addEos === undefined) return json;
  const token = (isAdded: boolean | null, text: string | undefined): unknown[] =>
    isAdded && text !== undefined ? [{SpecialToken: {id: text, type_id: 0}}] : [];
  const [before, after] = endsOf(json.post_processor);
  const single = [
    ...(addBos === undefined ? before : token(addBos, texts['bos_token'])),
    {Sequence: {id: 'A', type_id: 0}},
    ...(addEos === undefined ? after : token(addEos, texts['eos_token'])),
  ];
  return {...json, post_processor: {type: 'TemplateProcessing', single, pair: single}};
}

/** What a post-processor puts before and after a text: its template, which may be one of several processors, has it. */
function endsOf(processor: unknown): [before: unknown[], after: unknown[]] {
  const {single, processors} = isObject(processor) ? processor : {};
  const all = Array.isArray(processors) ? (processors as unknown[]) : [];
  const template = [single, ...all.map((each) => isObject(each) && each['single'])].find(
    Array.isArray,
  ) as unknown[] | undefined;
  const text = template?.findIndex((piece) => isObject(piece) && 'Sequence' in piece) ?? -1;
  return text < 0 ? [[], []] : [template!.slice(0, text), template!.slice(text + 1)];
}
