import type * as tfl from '@tensorflow/tfjs-layers';
import type {JsonObject} from '../../files/json';
import {readWhole, type FileSource} from '../../files/source';

/** The files that came with a model's weights and are saved with them again. */
export interface Origin {
  /** `config.json`. */
  configJson: JsonObject;
  /** The other files, by name. */
  files: ReadonlyMap<string, Uint8Array>;
}

/** Files beside `config.json` and the weights that make a checkpoint complete. */
const OTHER_FILES = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
] as const;
/** More than any tokenizer has. */
const MAX_BYTES = 100_000_000;

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
