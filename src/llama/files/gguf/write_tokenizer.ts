/** A tokenizer of Hugging Face in the metadata of a GGUF file. */
import {isObject, show, type JsonObject} from '../../../files/json';
import {makeTokenizer, type TokenizerContents} from '../../text/load_tokenizer';
import {DIGIT, GPT2} from '../../text/split_patterns';
import type {Tokenizer} from '../../text/tokenizer';
import {
  BYTE_LEVEL,
  endIdKeys,
  SENTENCE_PIECE,
  tokenIdKeys,
  tokenizerKeys,
  tokenTypes,
} from './key_names';
import {preTokenizers} from './pre_tokenizers';
import {impliedMerges, isSpaces, SPACE} from './sentencepiece';
import type {TypedValue} from './write_header';

/** What the tokenizer's part of the metadata depends on beside its files. */
export interface TokenizerUse {
  /** How many tokens the model has, at least as many as the tokenizer. */
  vocabSize: number;
  /** Whether readers rank merges of a SentencePiece vocabulary by the ids of their tokens, not by their scores. */
  ranksMergesById: boolean;
  /** `eos_token_id` of `config.json` and `generation_config.json`, which may be lists: all ends of an answer. */
  endIds: readonly unknown[];
}

type Entry = readonly [key: string, value: TypedValue];

/** A token that is found as a whole in a text, as `tokenizer.json` has it. */
interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
}

/** How a tokenizer is refused. */
type Refuse = (what: string) => never;

/**
 * The metadata of a tokenizer. Two things are left to llama.cpp as its own converter leaves them: a text is not brought to the normal form
 * NFC, and with SentencePiece a space is put before one that begins with a space, too.
 *
 * @throws if a GGUF file cannot say what it does, so that texts would get other tokens; what that is, the message says.
 */
export async function tokenizerMetadata(
  owner: string,
  contents: TokenizerContents,
  use: TokenizerUse,
): Promise<ReadonlyMap<string, TypedValue>> {
  const refuse: Refuse = (what) => {
    throw new Error(`${owner}: the tokenizer cannot be in a GGUF file: ${what}`);
  };
  // checks the file, too
  const tokenizer = await makeTokenizer(contents);
  const {json, config, template} = contents;
  const model = json['model'] as JsonObject;
  if (model['type'] !== 'BPE') refuse(`its model is ${show(model['type'])}, which must be "BPE"`);
  for (const name of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[name]) refuse(`it has ${name} ${show(model[name])}`);
  }
  const added = addedTokens(json, use.vocabSize, refuse);
  const vocab = new Map(Object.entries(model['vocab'] as Record<string, number>));
  const parts = {json, model, added, vocab, refuse};
  const kind = stepsOf(json['pre_tokenizer']).some(({type}) => type === 'ByteLevel')
    ? byteLevelEntries(parts, use)
    : sentencePieceEntries(parts, use);
  const unknown = model['unk_token'] ?? config.unk_token;
  return new Map<string, TypedValue>([
    ...kind,
    ...idEntries(tokenizer, idOf(unknown, vocab, added), use),
    ...endEntries(tokenizer, refuse),
    ...(template === null ? [] : ([[tokenizerKeys.template, template]] satisfies Entry[])),
  ]);
}

interface Parts {
  json: JsonObject;
  model: JsonObject;
  added: readonly AddedToken[];
  vocab: ReadonlyMap<string, number>;
  refuse: Refuse;
}

/** Those that the model has rows for: others it never gets. */
function addedTokens(json: JsonObject, vocabSize: number, refuse: Refuse): AddedToken[] {
  const all = (json['added_tokens'] ?? []) as Array<AddedToken & JsonObject>;
  for (const token of all) {
    const flag = ['single_word', 'lstrip', 'rstrip'].find((name) => token[name]);
    if (flag !== undefined) refuse(`its token ${show(token.content)} has ${flag}`);
  }
  return all.filter(({id}) => id < vocabSize);
}

/** The tokens by id and their types; ids without a token get names of their own. */
function tokenEntries(
  {vocab, added, refuse}: Parts,
  {vocabSize}: TokenizerUse,
  typeOf: (token: string) => number,
  inFile: (token: AddedToken) => string = ({content}) => content,
): Entry[] {
  const texts: Array<string | undefined> = Array.from({length: vocabSize}, () => undefined);
  const types = texts.map((): number => tokenTypes.unused);
  for (const [token, id] of vocab) {
    if (id >= vocabSize)
      refuse(`its token ${show(token)} has the id ${id}, and the model has ${vocabSize} tokens`);
    texts[id] = token;
    types[id] = typeOf(token);
  }
  for (const token of added) {
    texts[token.id] = inFile(token);
    const isUnknown = types[token.id] === tokenTypes.unknown;
    const type = token.special ? tokenTypes.control : tokenTypes.userDefined;
    types[token.id] = isUnknown ? tokenTypes.unknown : type;
  }
  const named = texts.map((token, id) => token ?? `[PAD${id}]`);
  const ids = new Map<string, number>();
  for (const [id, token] of named.entries()) {
    const other = ids.get(token);
    if (other !== undefined) refuse(`its tokens ${other} and ${id} would both be ${show(token)}`);
    if (/\p{Surrogate}/u.test(token)) refuse(`its token ${id} is no text`);
    ids.set(token, id);
  }
  return [
    [tokenizerKeys.tokens, {texts: named}],
    [tokenizerKeys.types, {int32s: types}],
  ];
}

function byteLevelEntries(parts: Parts, use: TokenizerUse): Entry[] {
  const {json, model, refuse} = parts;
  const {normalizer, pre_tokenizer: pre, decoder} = json;
  const isPlain = (normalizer ?? null) === null || isOfType(normalizer, 'NFC');
  if (!isPlain) refuse(`its normalizer is ${show(normalizer)}`);
  if (!isOfType(decoder, 'ByteLevel')) refuse(`its decoder is ${show(decoder)}`);
  if (model['byte_fallback']) refuse('it has bytes as tokens beside those that stand for bytes');
  const merges = mergesOf(model).map((merge) => {
    if (merge.every((part) => part !== '' && !part.includes(' '))) return merge.join(' ');
    return refuse(`its merge ${show(merge)} has a space in it, or nothing`);
  });
  const name = preTokenizerName(pre, Boolean(model['ignore_merges']), refuse);
  return [
    [tokenizerKeys.model, BYTE_LEVEL],
    [tokenizerKeys.preTokenizer, name],
    ...tokenEntries(parts, use, () => tokenTypes.normal),
    [tokenizerKeys.merges, {texts: merges}],
  ];
}

/** The name by which llama.cpp splits texts into the same words. */
function preTokenizerName(pre: unknown, ignoresMerges: boolean, refuse: Refuse): string {
  const patterns = stepsOf(pre).flatMap((step): string[] => {
    const {type, pattern, behavior, invert} = step;
    if (type === 'Digits' && step['individual_digits'] === true) return [DIGIT];
    if (type === 'ByteLevel' && step['add_prefix_space'] === false)
      return step['use_regex'] === false ? [] : [GPT2];
    const isSplit = type === 'Split' && behavior === 'Isolated' && !invert;
    if (isSplit && isObject(pattern) && typeof pattern['Regex'] === 'string')
      return [pattern['Regex']];
    return refuse(`its pre-tokenizer has the step ${show(step)}`);
  });
  const found = Object.entries(preTokenizers).find(
    ([, known]) =>
      (known.ignoresMerges ?? false) === ignoresMerges &&
      known.patterns.length === patterns.length &&
      known.patterns.every((pattern, i) => pattern === patterns[i]),
  );
  if (found) return found[0];
  const merges = ignoresMerges ? ', with ignore_merges' : '';
  return refuse(
    `llama.cpp has no pre-tokenizer that splits by ${patterns.map(show).join(' and ')}${merges}`,
  );
}

/** Scores of letters, which come of no merge, matter to nobody. */
const LETTER_SCORE = 0;

function sentencePieceEntries(parts: Parts, use: TokenizerUse): Entry[] {
  const {json, model, vocab, refuse} = parts;
  if (!model['byte_fallback'])
    refuse('it is neither byte-level nor one of SentencePiece, which has "byte_fallback": true');
  const {decoder} = json;
  if (!stepsOf(decoder).some(({type}) => type === 'ByteFallback'))
    refuse(`its decoder is ${show(decoder)}`);
  const addsSpace = addsSpacePrefix(json, refuse);
  const ranks = new Map<string, number>();
  const merges = mergesOf(model);
  for (const [i, merge] of merges.entries()) {
    const token = merge.join('');
    if (!ranks.has(token)) ranks.set(token, -i);
  }
  const rankOf = (token: string): number =>
    use.ranksMergesById ? -(vocab.get(token) ?? 0) : (ranks.get(token) ?? LETTER_SCORE);
  checkMerges(parts, merges, rankOf);
  const isByte = (token: string): boolean => /^<0x[0-9A-F]{2}>$/.test(token);
  const tokens = tokenEntries(
    parts,
    use,
    (token) =>
      token === model['unk_token']
        ? tokenTypes.unknown
        : isByte(token)
          ? tokenTypes.byte
          : tokenTypes.normal,
    // as llama.cpp finds them in a text
    ({content, special}) =>
      !special && isSpaces(content, SPACE) ? ' '.repeat(content.length) : content,
  );
  const scores = Array.from({length: use.vocabSize}, () => LETTER_SCORE);
  for (const [token, id] of vocab) scores[id] = rankOf(token);
  return [
    [tokenizerKeys.model, SENTENCE_PIECE],
    [tokenizerKeys.preTokenizer, 'default'],
    ...tokens,
    [tokenizerKeys.scores, {float32s: scores}],
    [tokenizerKeys.addsSpace, addsSpace],
  ];
}

/** Whether a text gets a space before it; all spaces are spelled as another character. */
function addsSpacePrefix({normalizer, pre_tokenizer: pre}: JsonObject, refuse: Refuse): boolean {
  const [normalizers, splits] = [stepsOf(normalizer), stepsOf(pre)];
  const isReplace = ({type, pattern, content}: JsonObject): boolean =>
    type === 'Replace' && isPattern(pattern, ' ') && content === SPACE;
  const isPrepend = ({type, prepend}: JsonObject): boolean =>
    type === 'Prepend' && prepend === SPACE;
  const isMetaspace = ({type, replacement, split}: JsonObject): boolean =>
    type === 'Metaspace' && replacement === SPACE && split === false;
  const [replaces, metaspace] = [normalizers.some(isReplace), splits.find(isMetaspace)];
  // of spaces, which no text has any more
  const isIdle = ({type, pattern}: JsonObject): boolean =>
    type === 'Split' && replaces && isPattern(pattern, ' ');
  const other =
    normalizers.find((step) => !isReplace(step) && !isPrepend(step)) ??
    splits.find((step) => !isMetaspace(step) && !isIdle(step));
  if (other) refuse(`it has the step ${show(other)}`);
  if (replaces === Boolean(metaspace)) refuse(`it does not spell spaces as ${SPACE}`);
  const prepends = normalizers.some(isPrepend);
  return prepends || (metaspace !== undefined && metaspace['prepend_scheme'] !== 'never');
}

function isPattern(pattern: unknown, text: string): boolean {
  return isObject(pattern) && pattern['String'] === text;
}

/** Throws unless merges are those that readers of a file find out from its tokens and scores. */
function checkMerges(
  {vocab, added, refuse}: Parts,
  merges: ReadonlyArray<[string, string]>,
  rankOf: (token: string) => number,
): void {
  // which are found before anything is merged
  const whole = new Set(added.map(({content}) => content));
  const matters = (merge: readonly [string, string]): boolean => !whole.has(merge.join(''));
  const tokens = new Map([...vocab].map(([token, id]) => [id, token]));
  const what = 'its merges are not those of a SentencePiece vocabulary';
  const implied = impliedMerges(vocab, (id) => rankOf(tokens.get(id)!), refuse);
  const spelled = (merge: readonly [string, string]): string => merge.join(' ');
  const known = new Set(implied.map(spelled));
  const given = new Set(merges.map(spelled));
  const other = merges.find((merge) => !known.has(spelled(merge)));
  if (other) refuse(`${what}: ${show(other)} does not make a token of two others`);
  const missing = implied.find((merge) => matters(merge) && !given.has(spelled(merge)));
  if (missing) refuse(`${what}: ${show(missing)} is missing`);
  const ordered = merges.filter(matters);
  for (const [i, merge] of ordered.entries()) {
    const before = ordered[i - 1];
    if (!before || rankOf(before.join('')) >= rankOf(merge.join(''))) continue;
    refuse(`${what}: ${show(merge)} comes too late`);
  }
}

/** Ids of tokens that have a role. */
function idEntries(tokenizer: Tokenizer, unknown: number | null, use: TokenizerUse): Entry[] {
  const isId = (id: unknown): id is number =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) < use.vocabSize;
  const ends = use.endIds.flat().filter(isId);
  const eos = isId(tokenizer.eosTokenId) ? tokenizer.eosTokenId : ends[0];
  const ids: Record<string, unknown> = {
    [tokenIdKeys.bos_token]: tokenizer.bosTokenId,
    [tokenIdKeys.eos_token]: eos,
    [tokenIdKeys.unk_token]: unknown,
    [tokenIdKeys.pad_token]: tokenizer.padTokenId,
  };
  const others = [...new Set(ends)].filter((id) => id !== eos);
  for (const [i, key] of endIdKeys.entries()) ids[key] = others[i];
  return Object.entries(ids).flatMap(([key, id]) => (isId(id) ? [[key, {uint32: id}]] : []));
}

/** What is put around a text: nothing else than the tokens that begin and end it. */
function endEntries(tokenizer: Tokenizer, refuse: Refuse): Entry[] {
  const {bosTokenId: bos, eosTokenId: eos} = tokenizer;
  const bare = tokenizer.encode('a', {addSpecialTokens: false});
  if (bare.length === 0) refuse('it makes no token of a letter');
  const whole = tokenizer.encode('a').join();
  for (const addsBos of [false, true]) {
    for (const addsEos of [false, true]) {
      const ids = [...(addsBos ? [bos] : []), ...bare, ...(addsEos ? [eos] : [])];
      if (ids.join() !== whole) continue;
      return [
        [tokenizerKeys.addsBos, addsBos],
        [tokenizerKeys.addsEos, addsEos],
      ];
    }
  }
  return refuse('it puts other tokens around a text than bos_token and eos_token');
}

function idOf(
  token: unknown,
  vocab: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
): number | null {
  const text = isObject(token) ? token['content'] : token;
  if (typeof text !== 'string') return null;
  return added.find(({content}) => content === text)?.id ?? vocab.get(text) ?? null;
}

/** The steps of a normalizer, a pre-tokenizer or a decoder, one after the other. */
function stepsOf(part: unknown): JsonObject[] {
  if (!isObject(part)) return [];
  if (part['type'] !== 'Sequence') return [part];
  const {normalizers, pretokenizers, decoders} = part;
  return [normalizers, pretokenizers, decoders]
    .filter(Array.isArray)
    .flatMap((steps: unknown[]) => steps.flatMap(stepsOf));
}

function isOfType(part: unknown, type: string): boolean {
  return isObject(part) && part['type'] === type;
}

function mergesOf(model: JsonObject): Array<[string, string]> {
  const merges = (model['merges'] ?? []) as Array<string | [string, string]>;
  return merges.map((merge) => {
    if (typeof merge !== 'string') return merge;
    const at = merge.indexOf(' ');
    return [merge.slice(0, at), merge.slice(at + 1)];
  });
}
