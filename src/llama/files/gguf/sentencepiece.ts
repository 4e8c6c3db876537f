/** A SentencePiece vocabulary (`tokenizer.ggml.model` "llama") as the parts of `tokenizer.json`. */
import type {MetadataKeys} from './metadata_keys';
import type {TokenizerModel} from './tokenizer';
import {listFor, type Vocabulary} from './vocabulary';

/** What stands for a blank. */
const BLANK = '▁';

/**
 * @param ranksById Whether merges rank by the ids of their tokens, not by their scores.
 * @throws if the file has no scores, or not as many as tokens.
 */
export function sentencePieceModel(
  keys: MetadataKeys,
  {tokens, whole}: Vocabulary,
  ranksById: boolean,
): TokenizerModel {
  const scoresKey = 'tokenizer.ggml.scores';
  const scores = listFor(keys, scoresKey, tokens.length);
  if (!scores) throw keys.missing(scoresKey);
  const vocab = new Map(tokens.map((token, id) => [blanksSpelled(token), id]));
  const unknown = keys.integer('tokenizer.ggml.unknown_token_id', 0);
  const addsSpace = keys.flag('tokenizer.ggml.add_space_prefix') ?? !ranksById;
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
      merges: impliedMerges(vocab, ranksById ? (id) => -id : (id) => scores[id]!),
    },
    normalizer: null,
    pre_tokenizer: {type: 'Metaspace', replacement: BLANK, prepend_scheme, split: false},
    decoder: {
      type: 'Sequence',
      decoders: [
        {type: 'Replace', pattern: {String: BLANK}, content: ' '},
        {type: 'ByteFallback'},
        {type: 'Fuse'},
        ...(addsSpace ? [{type: 'Strip', content: ' ', start: 1, stop: 0}] : []),
      ],
    },
    // blanks are no token of a text, in which they are spelled otherwise
    notWhole: new Set(whole.filter(({content}) => isBlank(content)).map(({id}) => id)),
    addsBos: true,
  };
}

function isBlank(token: string): boolean {
  return /^ +$/.test(token);
}

function blanksSpelled(token: string): string {
  return isBlank(token) ? BLANK.repeat(token.length) : token;
}

/**
 * The merges that a vocabulary implies, best first: each way to make a token of two others, ranked by the token that it makes. As
 * transformers' `generate_merges` orders them.
 */
function impliedMerges(
  vocab: ReadonlyMap<string, number>,
  rankOf: (id: number) => number,
): Array<[string, string]> {
  interface Merge {
    pair: [string, string];
    rank: number;
    lengths: [number, number];
  }
  const merges: Merge[] = [];
  for (const [token, id] of vocab) {
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
    merges.push(...local.sort((a, b) => a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1]));
  }
  merges.sort(
    (a, b) => b.rank - a.rank || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1],
  );
  return merges.map(({pair}) => pair);
}
