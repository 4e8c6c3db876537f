import {finishCommit, unlessMissing} from './folder_commit';
import {importNode} from './import_node';
import type {ModelTarget} from './sink';

/**
 * The names of the files of a target; none if it is a folder that does not exist.
 *
 * @throws Error if the path is that of a file.
 */
export async function listFiles(owner: string, target: ModelTarget): Promise<string[]> {
  if (target instanceof Map) return [...target.keys()];
  const {readdir, stat} = await importNode('node:fs/promises');
  const stats = await unlessMissing(stat(target));
  if (stats === null) return [];
  if (!stats.isDirectory()) {
    throw new Error(`${owner}: '${target}' is a file; give the folder that it is in`);
  }
  await finishCommit(owner, target);
  return readdir(target);
}
