/** A byte-level vocabulary (`tokenizer.ggml.model` "gpt2") as the parts of `tokenizer.json`. */
import {show} from '../../../files/json';
import {tokenizerKeys} from './key_names';
import type {MetadataKeys} from './metadata_keys';
import {preTokenizers, type PreTokenizer} from './pre_tokenizers';
import type {TokenizerModel, Vocabulary} from './vocabulary';

const {preTokenizer: PRE_KEY, merges: MERGES_KEY} = tokenizerKeys;

/** @throws if the file names a pre-tokenizer that is not known here, or if a merge is none. */
export function byteLevelModel(keys: MetadataKeys, vocabulary: Vocabulary): TokenizerModel {
  const pre = preTokenizerOf(keys);
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  };
  const splits = pre.patterns.map((Regex) => ({
    type: 'Split',
    pattern: {Regex},
    behavior: 'Isolated',
    invert: false,
  }));
  return {
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoresMerges ?? false,
      vocab: spelledInBytes(vocabulary),
      merges: mergesOf(keys),
    },
    normalizer: null,
    pre_tokenizer: {type: 'Sequence', pretokenizers: [...splits, byteLevel]},
    decoder: {...byteLevel, use_regex: true},
    addsBos: pre.addsBos ?? false,
  };
}

function preTokenizerOf(keys: MetadataKeys): PreTokenizer {
  const name = keys.text(PRE_KEY) ?? 'default';
  if (Object.hasOwn(preTokenizers, name)) return preTokenizers[name]!;
  const known = Object.keys(preTokenizers).join(', ');
  throw new Error(
    `${keys.owner}: ${PRE_KEY} ${show(name)} is not known, so that texts would be split in a wrong way; known are ${known}; ` +
      "take the model as safetensors, with its tokenizer's files",
  );
}

function mergesOf(keys: MetadataKeys): Array<[string, string]> {
  const merges = keys.texts(MERGES_KEY);
  if (!merges) throw keys.missing(MERGES_KEY);
  return merges.map((merge) => {
    const parts = merge.split(' ');
    if (parts.length === 2 && parts.every((part) => part !== '')) return parts as [string, string];
    throw new Error(
      `${keys.owner}: ${MERGES_KEY} must have two tokens with a space between them; got ${show(merge)}`,
    );
  });
}

/** The characters of which byte-level tokens are made, by byte: GPT-2's `bytes_to_unicode`. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({length: 256}, (_, byte) => {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}

/**
 * Ids by token. Tokens with characters that are none of {@link byteCharacters} are spelled in these, byte by byte, unless they
 * are found as a whole.
 */
function spelledInBytes({tokens, whole}: Vocabulary): Record<string, number> {
  const characters = byteCharacters();
  const known = new Set(characters);
  const kept = new Set(whole.map(({id}) => id));
  const encoder = new TextEncoder();
  const spell = (token: string, id: number): string => {
    if (kept.has(id) || Array.from(token).every((character) => known.has(character))) return token;
    return Array.from(encoder.encode(token), (byte) => characters[byte]).join('');
  };
  return Object.fromEntries(tokens.map((token, id) => [spell(token, id), id]));
}
