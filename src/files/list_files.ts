import {finishCommit, unlessMissing} from './folder_commit';
import {importNode} from './import_node';
import type {ModelTarget} from './sink';

/** The names of the files of a target; none if it is a folder that does not exist. */
export async function listFiles(owner: string, target: ModelTarget): Promise<string[]> {
  if (target instanceof Map) return [...target.keys()];
  const {readdir} = await importNode('node:fs/promises');
  const names = await unlessMissing(readdir(target));
  if (names === null) return [];
  await finishCommit(owner, target);
  return readdir(target);
}
