/** The vocabulary in the metadata of a GGUF file. */
import {show, type JsonObject} from '../../../files/json';
import {tokenizerKeys, tokenTypes} from './key_names';
import type {MetadataKeys} from './metadata_keys';

/** A token that is found as a whole in a text. */
export interface WholeToken {
  id: number;
  content: string;
  /** Whether it is left out of a decoded text if special tokens are. */
  special: boolean;
}

export interface Vocabulary {
  /** By id. */
  tokens: readonly string[];
  whole: readonly WholeToken[];
}

/** The parts of `tokenizer.json` that depend on the kind of vocabulary. */
export interface TokenizerModel {
  model: JsonObject;
  normalizer: null;
  pre_tokenizer: JsonObject;
  decoder: JsonObject;
  /** Tokens that are not found as a whole after all; default none. */
  notWhole?: ReadonlySet<number>;
  /** Whether texts begin with a token unless the file says otherwise. */
  addsBos: boolean;
}

/** @throws if there is none, if a token is there twice, or if their types are not as many. */
export function readVocabulary(keys: MetadataKeys): Vocabulary {
  const {tokens: key} = tokenizerKeys;
  const tokens = keys.texts(key);
  if (!tokens || tokens.length === 0) throw keys.missing(key);
  const types = listFor(keys, tokenizerKeys.types, tokens.length) ?? [];
  const {control, unknown, userDefined} = tokenTypes;
  const ids = new Map<string, number>();
  const whole: WholeToken[] = [];
  const named = tokens.map((token, id) => {
    // as llama.cpp calls it
    const content = token === '' ? `[EMPTY_${id}]` : token;
    const other = ids.get(content);
    if (other !== undefined) {
      throw new Error(`${keys.owner}: ${key} has ${show(content)} twice, at ${other} and ${id}`);
    }
    ids.set(content, id);
    const type = types[id];
    if (type === control || type === unknown || type === userDefined) {
      whole.push({id, content, special: type !== userDefined});
    }
    return content;
  });
  return {tokens: named, whole};
}

/** A list of numbers, one for each token; undefined if the file has none. */
export function listFor(keys: MetadataKeys, key: string, tokens: number): number[] | undefined {
  const list = keys.numbers(key);
  if (list === undefined || list.length === tokens) return list;
  throw new Error(
    `${keys.owner}: ${key} has ${list.length} values, but ${tokenizerKeys.tokens} has ${tokens}`,
  );
}
