/**
 * Trains a byte-level byte-pair encoding and writes it as a Hugging Face `tokenizer.json`.
 *
 * Sources: Sennrich, Haddow & Birch 2016 (byte-pair encoding); GPT-2 (byte alphabet and pre-split).
 */

/** What separates two documents; the only token that no text encodes to. */
export const END_OF_TEXT = '<|endoftext|>';

/** GPT-2's pre-split: contractions, words, numbers, punctuation, spaces. No merge crosses such a piece. */
const PIECES = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * Learns `vocabularySize - 257` merges (256 bytes and {@link END_OF_TEXT} come first), always the most frequent pair,
 * of equally frequent ones the first in code-unit order: the same texts give the same tokenizer.
 *
 * @returns the content of `tokenizer.json`
 */
export function trainTokenizer(texts: readonly string[], vocabularySize: number) {
  const alphabet = byteAlphabet();
  const words = countWords(texts, alphabet);
  const tokens = new Set([END_OF_TEXT, ...alphabet]); // two merges may spell the same token
  const merges: [string, string][] = [];
  while (tokens.size < vocabularySize) {
    const pair = mostFrequentPair(words);
    if (pair === undefined) break; // every word is one token already
    for (const word of words) merge(word.symbols, pair);
    merges.push(pair);
    tokens.add(pair[0] + pair[1]);
  }
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 0,
        content: END_OF_TEXT,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(Array.from(tokens, (token, id) => [token, id])),
      merges,
    },
  };
}

interface Word {
  symbols: string[];
  count: number;
}

/** One printable character for each byte: itself where it prints, else the next free one from U+0100 on (GPT-2). */
function byteAlphabet(): string[] {
  const prints = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({length: 256}, (_, byte) => String.fromCharCode(prints(byte) ? byte : next++));
}

function countWords(texts: readonly string[], alphabet: readonly string[]): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [piece] of text.matchAll(PIECES)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  }
  const bytes = new TextEncoder();
  return Array.from(counts, ([piece, count]) => ({
    symbols: Array.from(bytes.encode(piece), (byte) => alphabet[byte]!),
    count,
  }));
}

function mostFrequentPair(words: readonly Word[]): [string, string] | undefined {
  const counts = new Map<string, number>();
  for (const {symbols, count} of words) {
    for (let i = 1; i < symbols.length; i++) {
      const pair = `${symbols[i - 1]!} ${symbols[i]!}`; // the alphabet has no space
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let [best, bestCount] = ['', 0];
  for (const [pair, count] of counts) {
    if (count > bestCount || (count === bestCount && pair < best))
      [best, bestCount] = [pair, count];
  }
  return bestCount > 0 ? (best.split(' ') as [string, string]) : undefined;
}

function merge(symbols: string[], [left, right]: [string, string]): void {
  for (let i = 0; i + 1 < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) symbols.splice(i, 2, left + right);
  }
}
