import {readdirSync, readlinkSync} from 'node:fs';
import {join} from 'node:path';

/** The files in a folder that this process has open, where the system tells; none elsewhere. */
export function openFilesIn(folder: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(join('/proc/self/fd', descriptor));
      return path.startsWith(folder) ? [path] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}
