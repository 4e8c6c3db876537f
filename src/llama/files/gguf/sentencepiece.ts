/** A SentencePiece vocabulary (`tokenizer.ggml.model` "llama") as the parts of `tokenizer.json`. */
import {tokenIdKeys, tokenizerKeys} from './key_names';
import type {MetadataKeys} from './metadata_keys';
import {listFor, type TokenizerModel, type Vocabulary} from './vocabulary';

/** What stands for a space. */
export const SPACE = '▁';

/** The longest token that is read, in UTF-16 units. */
const LONGEST_TOKEN = 1000;
/** The most merges that a vocabulary may imply: some seven for each of the 262,144 tokens of Gemma 3. */
const MAX_MERGES = 2_000_000;

/**
 * @param ranksById Whether merges rank by the ids of their tokens, not by their scores.
 * @throws if the file has no scores, or not as many as tokens.
 */
export function sentencePieceModel(
  keys: MetadataKeys,
  {tokens, whole}: Vocabulary,
  ranksById: boolean,
): TokenizerModel {
  const {scores: scoresKey, addsSpace: spaceKey} = tokenizerKeys;
  const scores = listFor(keys, scoresKey, tokens.length);
  if (!scores) throw keys.missing(scoresKey);
  const vocab = new Map(tokens.map((token, id) => [spacesSpelled(token), id]));
  const unknown = keys.integer(tokenIdKeys.unk_token, 0);
  const addsSpace = keys.flag(spaceKey) ?? !ranksById;
  const prepend_scheme = addsSpace ? 'first' : 'never';
  return {
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown === undefined ? null : (tokens[unknown] ?? null),
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: impliedMerges(vocab, ranksById ? (id) => -id : (id) => scores[id]!, (what) => {
        throw new Error(
          `${keys.owner}: ${what}; take the model as safetensors, with its tokenizer's files`,
        );
      }),
    },
    normalizer: null,
    pre_tokenizer: {type: 'Metaspace', replacement: SPACE, prepend_scheme, split: false},
    decoder: {
      type: 'Sequence',
      decoders: [
        {type: 'Replace', pattern: {String: SPACE}, content: ' '},
        {type: 'ByteFallback'},
        {type: 'Fuse'},
        ...(addsSpace ? [{type: 'Strip', content: ' ', start: 1, stop: 0}] : []),
      ],
    },
    // spaces are no token of a text, in which they are spelled otherwise
    notWhole: new Set(whole.filter(({content}) => isSpaces(content)).map(({id}) => id)),
    addsBos: true,
  };
}

/** Whether a token is nothing but spaces, or what stands for them. */
export function isSpaces(token: string, space = ' '): boolean {
  return token !== '' && token.replaceAll(space, '') === '';
}

function spacesSpelled(token: string): string {
  return isSpaces(token) ? SPACE.repeat(token.length) : token;
}

/**
 * The merges that a vocabulary implies, best first: each way to make a token of two others, ranked by the token that it makes. As
 * transformers' `generate_merges` orders them.
 *
 * @param refuse Called if a token is longer than {@link LONGEST_TOKEN}, or there are more than {@link MAX_MERGES}: a small file can
 *   imply more than memory holds.
 */
export function impliedMerges(
  vocab: ReadonlyMap<string, number>,
  rankOf: (id: number) => number,
  refuse: (what: string) => never,
): Array<[string, string]> {
  interface Merge {
    pair: [string, string];
    rank: number;
    lengths: [number, number];
  }
  const merges: Merge[] = [];
  for (const [token, id] of vocab) {
    if (token.length > LONGEST_TOKEN) {
      refuse(
        `token ${id} of ${tokenizerKeys.tokens} has ${token.length} characters, more than ${LONGEST_TOKEN}`,
      );
    }
    const letters = Array.from(token);
    const local: Array<Merge & {ids: [number, number]}> = [];
    for (let i = 1, at = 0; i < letters.length; i++) {
      at += letters[i - 1]!.length;
      const pair: [string, string] = [token.slice(0, at), token.slice(at)];
      const [left, right] = [vocab.get(pair[0]), vocab.get(pair[1])];
      if (left === undefined || right === undefined) continue;
      const lengths: [number, number] = [i, letters.length - i];
      local.push({pair, rank: rankOf(id), lengths, ids: [left, right]});
    }
    if (merges.length + local.length > MAX_MERGES) {
      refuse(`the tokens of ${tokenizerKeys.tokens} imply more than ${MAX_MERGES} merges`);
    }
    merges.push(...local.sort((a, b) => a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1]));
  }
  merges.sort(
    (a, b) => b.rank - a.rank || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1],
  );
  return merges.map(({pair}) => pair);
}
