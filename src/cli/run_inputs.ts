/** What a run reads must not be in the folder that it writes to. */
import {realpathSync} from 'node:fs';
import {basename, dirname, isAbsolute, join, relative, resolve, sep} from 'node:path';
import {isUrl} from '../files/file_url';
import type {Given} from './options';
import {UsageError} from './usage_error';

/**
 * Refuses inputs that are in the output folder, or are that folder, also by way of links. Changes nothing.
 *
 * @param output The path of the output folder, which need not be there.
 * @param inputs Paths or URLs by the names of their options; undefined: not given.
 */
export function checkInputsOutside(
  given: Given,
  output: string,
  inputs: Record<string, string | undefined>,
): void {
  const folder = realPath(output);
  for (const [name, path] of Object.entries(inputs)) {
    if (path === undefined || isUrl(path)) continue;
    // the file, and the link to it if it is one
    const places = [realPath(path), join(realPath(dirname(resolve(path))), basename(path))];
    if (!places.some((place) => isWithin(folder, place))) continue;
    throw new UsageError(
      `${given.get(name)}: '${path}' is in the folder '${output}', which this run writes to; give ` +
        `${given.get('output')} another one`,
    );
  }
}

/** The absolute path without links, of something that need not be there. */
function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync.native(absolute);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return join(realPath(dirname(absolute)), basename(absolute));
  }
}

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return !isAbsolute(way) && way.split(sep)[0] !== '..';
}
