import {isObject, MAX_JSON_BYTES, parseJsonObject, show} from '../../files/json';
import {
  headerEnd,
  LENGTH_BYTES,
  parseHeader,
  type TensorEntry,
} from '../../files/safetensors_header';
import {readWhole, type FileSource, type SourceFile} from '../../files/source';

/** A tensor and the open file that has it. */
export interface StoredTensor extends TensorEntry {
  file: SourceFile;
}

/** The tensors of a checkpoint by name, in files that are open until `close`. */
export interface Checkpoint {
  tensors: ReadonlyMap<string, StoredTensor>;
  close(): Promise<void>;
}

/** The file of a checkpoint that is not sharded, and the list of the files of one that is. */
export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/** Rotary frequencies, which are stored as weights in old checkpoints but computed here. */
const COMPUTED = /(^|\.)rotary_emb\.inv_freq$/;

/**
 * Opens the files of a checkpoint and reads their headers, no values: `model.safetensors`, or where
 * there is none the shards of `model.safetensors.index.json`.
 *
 * @throws if there is neither, if a header is damaged, or if index and shards disagree; then nothing
 *   is left open.
 */
export async function openCheckpoint(owner: string, source: FileSource): Promise<Checkpoint> {
  const files: SourceFile[] = [];
  const close = async (): Promise<void> => {
    for (const file of files) await file.close();
  };
  try {
    const single = await source.open(SINGLE_FILE);
    if (single) {
      files.push(single);
      return {tensors: byName(await readHeader(owner, single)), close};
    }
    const weightMap = await readIndex(owner, source);
    for (const path of new Set(weightMap.values())) {
      const file = await source.open(path);
      if (!file) {
        throw new Error(
          `${owner}: ${INDEX_FILE} names the file ${show(path)}, which is not in ${source.name}`,
        );
      }
      files.push(file);
    }
    return {tensors: await readShards(owner, files, weightMap), close};
  } catch (error) {
    await close();
    throw error;
  }
}

/** The file of each tensor. */
async function readIndex(owner: string, source: FileSource): Promise<Map<string, string>> {
  const bytes = await readWhole(owner, source, INDEX_FILE, MAX_JSON_BYTES);
  if (!bytes) {
    throw new Error(
      `${owner}: ${source.name} has neither ${SINGLE_FILE} nor ${INDEX_FILE}; ` +
        'checkpoints in another format have to be saved as safetensors first',
    );
  }
  const {weight_map: map} = parseJsonObject(`${owner}: ${INDEX_FILE}`, bytes);
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw new Error(
      `${owner}: ${INDEX_FILE} must have a weight_map from tensors to files; got ${show(map)}`,
    );
  }
  return new Map(
    Object.entries(map).map(([name, file]) => {
      if (typeof file === 'string' && file.endsWith('.safetensors')) return [name, file];
      throw new Error(
        `${owner}: ${INDEX_FILE} must name a .safetensors file for tensor ${show(name)}; ` +
          `got ${show(file)}`,
      );
    }),
  );
}

/** All tensors of the shards, which must be those of the index. */
async function readShards(
  owner: string,
  files: readonly SourceFile[],
  weightMap: ReadonlyMap<string, string>,
): Promise<Map<string, StoredTensor>> {
  const tensors: StoredTensor[] = [];
  for (const file of files) {
    for (const tensor of await readHeader(owner, file)) {
      const listed = weightMap.get(tensor.name);
      if (listed !== file.path) {
        throw new Error(
          `${owner}: ${INDEX_FILE} has tensor ${show(tensor.name)} in ` +
            `${listed === undefined ? 'no file' : show(listed)}, but it is in ${show(file.path)}`,
        );
      }
      tensors.push(tensor);
    }
  }
  const found = byName(tensors);
  for (const [name, path] of weightMap) {
    if (found.has(name) || COMPUTED.test(name)) continue;
    throw new Error(
      `${owner}: ${INDEX_FILE} has tensor ${show(name)} in ${show(path)}, but it is not there`,
    );
  }
  return found;
}

/** The tensors of a file, except those that no model reads. */
async function readHeader(owner: string, file: SourceFile): Promise<StoredTensor[]> {
  const named = `${owner}: ${file.path}`;
  const start = await file.read(0, Math.min(LENGTH_BYTES, file.size));
  const json = await file.read(LENGTH_BYTES, headerEnd(named, start, file.size));
  return parseHeader(named, json, file.size)
    .entries.filter(({name}) => !COMPUTED.test(name))
    .map((entry) => ({...entry, file}));
}

function byName(tensors: readonly StoredTensor[]): Map<string, StoredTensor> {
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}
