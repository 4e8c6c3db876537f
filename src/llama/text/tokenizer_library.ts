import {
  ByteFallbackDecoder,
  ByteLevelDecoder,
  SequenceDecoder,
  Tokenizer as LibraryTokenizer,
} from '@huggingface/tokenizers';
import {isObject} from '../../files/json';
import {limitGrowth, type LimitGrowth} from './limit_growth';
import {DIGIT, DIGITS, GPT2} from './split_patterns';

/**
 * `@huggingface/tokenizers`, which reads `tokenizer.json`, where it differs from the Rust library of
 * that name that wrote the file: found by comparing both on random texts and ids. Beside that, what takes it the product
 * of tokens and added tokens, when it decodes.
 */

/** The library's tokenizer, and what limits it in its work. */
export interface LimitedTokenizer {
  library: LibraryTokenizer;
  /** Those that may be left out when ids are decoded; the library does not know of them. */
  specialTokens: ReadonlySet<string>;
  limitGrowth: LimitGrowth;
}

/** The parts of `tokenizer.json` that are read here. */
export interface TokenizerJson {
  model: {type?: string};
  normalizer?: unknown;
  pre_tokenizer?: PreTokenizerJson | null;
  decoder?: unknown;
  post_processor?: unknown;
  added_tokens?: AddedToken[];
}

interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
  normalized?: boolean;
}

interface PreTokenizerJson {
  type: string;
  pretokenizers?: PreTokenizerJson[];
  individual_digits?: boolean;
  add_prefix_space?: boolean;
  use_regex?: boolean;
}

const REPLACEMENT_CHARACTER = '\ufffd';

/** The tokenizer of the file, with the differences mended. */
export function createLibraryTokenizer(json: TokenizerJson): LimitedTokenizer {
  const {normalizer, pre_tokenizer: preTokenizer, decoder, added_tokens: added = []} = json;
  const mended = {
    normalizer: mendReplace(normalizer),
    pre_tokenizer: preTokenizer
      ? mendPreTokenizer(mendReplace(preTokenizer) as PreTokenizerJson)
      : null,
    decoder: mendReplace(decoder),
    // of each token that it decodes, the library would go through all special ones
    added_tokens: added.map((token) => ({
      ...token,
      special: false,
      normalized: token.normalized ?? !token.special,
    })),
  };
  const tokenizer = new LibraryTokenizer({...json, ...mended}, {});
  const decoders =
    tokenizer.decoder instanceof SequenceDecoder ? tokenizer.decoder.decoders : [tokenizer.decoder];
  for (const decoder of decoders) {
    if (decoder instanceof ByteFallbackDecoder) decoder.decode_chain = decodeByteTokens;
    if (decoder instanceof ByteLevelDecoder) decoder.decode_chain = byteLevelChain(decoder);
  }
  const special = added.filter((token) => token.special);
  return {
    library: tokenizer,
    specialTokens: new Set(special.map(({content}) => content)),
    limitGrowth: limitGrowth(tokenizer),
  };
}

/** The same texts: added tokens as they are, and the bytes between them. The library goes through all added tokens for each token. */
function byteLevelChain(decoder: ByteLevelDecoder): (tokens: string[]) => string[] {
  const added = new Set(decoder.added_tokens.map(({content}) => content));
  return (tokens) => {
    const texts: string[] = [];
    let run: string[] = [];
    const flush = (): void => {
      if (run.length > 0) texts.push(decoder.convert_tokens_to_string(run));
      run = [];
    };
    for (const token of tokens) {
      if (added.has(token)) {
        flush();
        texts.push(token);
      } else {
        run.push(token);
      }
    }
    flush();
    return texts;
  };
}

/** What replaces a pattern is a text as it is; the library takes `$&` and the like in it for parts of what is replaced. */
function mendReplace(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(mendReplace);
  if (!isObject(part)) return part;
  const {type, content, ...rest} = part;
  const mended = Object.entries(rest).map(([name, value]) => [name, mendReplace(value)] as const);
  const literal =
    type === 'Replace' && typeof content === 'string' ? content.replaceAll('$', '$$$$') : content;
  return {...Object.fromEntries(mended), type, ...(content !== undefined && {content: literal})};
}

/**
 * The same splits by regular expressions, which the library translates to JavaScript's with care. Its
 * own `Digits` knows only 0 to 9 and not ² or ٣, and the words of its `ByteLevel` take JavaScript's
 * white space, without U+0085 and with U+FEFF.
 */
function mendPreTokenizer(json: PreTokenizerJson): PreTokenizerJson {
  if (json.type === 'Sequence') {
    return {...json, pretokenizers: json.pretokenizers?.map(mendPreTokenizer) ?? []};
  }
  if (json.type === 'Digits') return split(json.individual_digits ? DIGIT : DIGITS);
  // the Rust library has GPT-2's words built in
  if (json.type === 'ByteLevel' && json.use_regex !== false && !json.add_prefix_space) {
    return {type: 'Sequence', pretokenizers: [split(GPT2), {...json, use_regex: false}]};
  }
  return json;
}

function split(regex: string): PreTokenizerJson {
  const parts = {pattern: {Regex: regex}, behavior: 'Isolated', invert: false};
  return {type: 'Split', ...parts};
}

/**
 * Joins tokens of one byte each, `<0xE2>`, to characters. A run of them that is not UTF-8 becomes one U+FFFD
 * per byte; the library itself makes fewer, keeps the valid parts, and loses U+FEFF.
 */
function decodeByteTokens(tokens: string[]): string[] {
  const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
  const texts: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      texts.push(utf8.decode(Uint8Array.from(bytes)));
    } catch {
      texts.push(REPLACEMENT_CHARACTER.repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (byte === undefined) {
      flush();
      texts.push(token);
    } else {
      bytes.push(parseInt(byte, 16));
    }
  }
  flush();
  return texts;
}
