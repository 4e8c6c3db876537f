import type * as tfl from '@tensorflow/tfjs-layers';
import type {FloatType} from '../../files/float_type';
import type {JsonObject} from '../../files/json';
import {readWhole, type FileSource} from '../../files/source';
import {CARD_FILE, MAX_CARD_BYTES, readBase, type Base} from './model_card';

/** The files that came with a model's weights and are saved with them again. */
export interface Origin {
  /** `config.json`. */
  configJson: JsonObject;
  /** The other files, by name. */
  files: ReadonlyMap<string, Uint8Array>;
  /** For the card of what is made of it. */
  base: Base;
  /** The number type that all of its matrices have in the files; F32 if they have several. */
  dtype: FloatType;
}

/** A tokenizer is made of one of them. */
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer.model', 'vocab.json'] as const;
/** The chat template, which wins over one in `tokenizer_config.json`. */
export const TEMPLATE_FILE = 'chat_template.jinja';
/** Files beside `config.json` and the weights that make a checkpoint complete. */
const OTHER_FILES = [
  'generation_config.json',
  ...TOKENIZER_FILES,
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  TEMPLATE_FILE,
  'chat_template.json',
  'merges.txt',
] as const;
/** More than any tokenizer has. */
const MAX_BYTES = 100_000_000;

/** By model, which is all that `saveLlama` is given. */
const origins = new WeakMap<tfl.LayersModel, Origin>();

/** Remembers what a model came with. */
export function setOrigin(model: tfl.LayersModel, origin: Origin): void {
  origins.set(model, origin);
}

/** What a model came with; undefined unless it was loaded. */
export function originOf(model: tfl.LayersModel): Origin | undefined {
  return origins.get(model);
}

/** Those of the other files that are there. */
export async function readOtherFiles(
  owner: string,
  source: FileSource,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of OTHER_FILES) {
    const bytes = await readWhole(owner, source, name, MAX_BYTES);
    // copied, because the owner may change the bytes
    if (bytes) files.set(name, new Uint8Array(bytes));
  }
  return files;
}

/** Whether a file in a folder belongs to another model once one with these files is saved there, which has a tokenizer of its own. */
export function isOfOtherModel(path: string, own: Origin['files']): boolean {
  const hasTokenizer = TOKENIZER_FILES.some((name) => own.has(name));
  return hasTokenizer && !own.has(path) && OTHER_FILES.some((name) => name === path);
}

/**
 * What the card of a model is to say of the one that it was made of.
 *
 * @param hubId Its name on the Hub, if it is from there.
 */
export async function readBaseOf(
  owner: string,
  source: FileSource,
  hubId: string | undefined,
): Promise<Base> {
  // a card is no part of the model: one that cannot be read is as good as none
  const card = await readWhole(owner, source, CARD_FILE, MAX_CARD_BYTES).catch(() => null);
  return readBase(card && new TextDecoder().decode(card), hubId);
}
