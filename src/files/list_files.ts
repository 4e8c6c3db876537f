import {importNode} from './import_node';
import type {ModelTarget} from './sink';

/** The names of the files of a target; none if it is a folder that does not exist. */
export async function listFiles(target: ModelTarget): Promise<string[]> {
  if (target instanceof Map) return [...target.keys()];
  const {readdir} = await importNode('node:fs/promises');
  try {
    return await readdir(target);
  } catch (error) {
    if ((error as {code?: string}).code === 'ENOENT') return [];
    throw error;
  }
}
