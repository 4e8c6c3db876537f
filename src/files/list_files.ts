import type {ModelTarget} from './sink';

/**
 * The names of the files of a target; none if it is a folder that does not exist.
 *
 * @throws Error if the path is that of a file.
 */
export async function listFiles(owner: string, target: ModelTarget): Promise<string[]> {
  if (target instanceof Map) return [...target.keys()];
  return (await import('./folders')).filesIn(owner, target);
}
