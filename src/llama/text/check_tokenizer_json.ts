import {isObject, show, type JsonObject} from '../../files/json';
import type {TokenizerJson} from './tokenizer_library';

/** Ids are below this: eight times as many as the largest vocabularies have. The library makes an array of that length. */
const MAX_IDS = 2 ** 21;

/** Longer than any token in use: those of 128 blanks and the like. */
const LONGEST_TOKEN = 1000;
/** Longer than any text that a step puts into another, which is a character mostly. */
const LONGEST_TEXT = 100;
/** Longer than any pattern in use, ten times. */
const LONGEST_PATTERN = 10_000;

/** Fields of steps and of a model with a text that they put into others, or look for. */
const TEXTS = [
  ...['content', 'prepend', 'replacement', 'str_rep', 'suffix', 'prefix', 'pad_token'],
  ...['word_delimiter_token', 'end_of_word_suffix', 'continuing_subword_prefix'],
  ...['continuing_subword_suffix'],
];

/**
 * Checks what the library takes for granted: that ids are such, each with one token, and that merges and added tokens are
 * what they should be. What else is wrong it finds itself.
 *
 * @throws with a message that the name of the file can be put before.
 */
export function checkTokenizerJson(json: JsonObject): asserts json is JsonObject & TokenizerJson {
  const {model, added_tokens: added = []} = json;
  for (const part of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder']) {
    checkStepsIn(part, json[part]);
  }
  if (!isObject(model)) throw wrong('model', 'an object', model);
  checkTexts('model', model);
  const tokens = new Map<number, string>();
  for (const [token, id] of vocabularyOf(model)) addToken(tokens, 'model.vocab', token, id);
  if (!Array.isArray(added)) throw wrong('added_tokens', 'a list', added);
  for (const entry of added as unknown[]) {
    const {id, content} = isObject(entry) ? entry : {};
    if (typeof content !== 'string' || content === '') {
      throw wrong('added_tokens', 'objects with the id and the content of a token', entry);
    }
    addToken(tokens, 'added_tokens', content, id);
  }
  const {merges} = model;
  const isMerge = (merge: unknown): boolean =>
    typeof merge === 'string' ||
    (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string'));
  if (merges === undefined) return;
  if (!Array.isArray(merges)) throw wrong('model.merges', 'a list', merges);
  const other = merges.find((merge) => !isMerge(merge)) as unknown;
  if (other !== undefined) throw wrong('model.merges', 'pairs of tokens', other);
}

/** Checks the steps of a part at any depth: a pattern that it does not know the library leaves out, with a warning. */
function checkStepsIn(where: string, part: unknown): void {
  if (typeof part !== 'object' || part === null) return;
  if (isObject(part)) {
    const {type, pattern, length} = part;
    if (type === 'Replace' || type === 'Split') {
      const {Regex, String} = isObject(pattern) ? pattern : {};
      const text = Regex ?? String;
      if (typeof text !== 'string') {
        throw wrong(`${where}: pattern`, '{"Regex": "…"} or {"String": "…"}', pattern);
      }
      const max = Regex === undefined ? LONGEST_TEXT : LONGEST_PATTERN;
      if (text.length > max) {
        throw wrong(`${where}: pattern`, `of at most ${max} characters`, pattern);
      }
    }
    // the library would take pieces of no length for ever
    if (type === 'FixedLength' && !(Number.isInteger(length) && (length as number) > 0)) {
      throw wrong(`${where}: length`, 'a positive integer', length);
    }
    checkTexts(where, part);
  }
  for (const inner of Object.values(part)) checkStepsIn(where, inner);
}

/** Checks what is put into texts, for each character of them at worst. */
function checkTexts(where: string, part: JsonObject): void {
  for (const name of TEXTS) {
    const text = part[name];
    if (text === undefined || text === null) continue;
    if (typeof text === 'string' && text.length <= LONGEST_TEXT) continue;
    throw wrong(`${where}: ${name}`, `a text of at most ${LONGEST_TEXT} characters`, text);
  }
}

/** Each token with its id, which is its place where the vocabulary is a list of tokens with their scores. */
function* vocabularyOf({vocab, type}: JsonObject): Generator<[token: string, id: unknown]> {
  if (type !== 'Unigram') {
    if (!isObject(vocab)) throw wrong('model.vocab', 'an object with the id of each token', vocab);
    yield* Object.entries(vocab);
    return;
  }
  if (!Array.isArray(vocab)) throw wrong('model.vocab', 'a list of tokens', vocab);
  for (const [id, entry] of (vocab as unknown[]).entries()) {
    const [token, score] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof token !== 'string' || typeof score !== 'number') {
      throw wrong('model.vocab', 'pairs of a token and its score', entry);
    }
    yield [token, id];
  }
}

/** Adds a token by its id; one that stands in two lists is one token. */
function addToken(tokens: Map<number, string>, where: string, token: string, id: unknown): void {
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MAX_IDS) {
    throw new Error(
      `${where}: the id of ${show(token)} must be an integer from 0 to ${MAX_IDS - 1}; got ${show(id)}`,
    );
  }
  if (token.length > LONGEST_TOKEN) {
    throw new Error(
      `${where}: the token ${id} must have at most ${LONGEST_TOKEN} characters; got ${token.length}`,
    );
  }
  const other = tokens.get(id);
  if (other !== undefined && other !== token) {
    throw new Error(`${where}: ${show(token)} has the id ${id}, which ${show(other)} has already`);
  }
  tokens.set(id, token);
}

function wrong(name: string, what: string, value: unknown): Error {
  return new Error(`${name} must be ${what}; got ${show(value)}`);
}
