import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import {syncBuiltinESMExports} from 'node:module';
import {resolve, sep} from 'node:path';

/** As Node says it, with a path where it knows one. */
function fullDisk(syscall: 'open' | 'write', path?: string): Error {
  const at = path === undefined ? '' : ` '${path}'`;
  return Object.assign(new Error(`ENOSPC: no space left on device, ${syscall}${at}`), {
    ...{code: 'ENOSPC', errno: -28, syscall},
    ...(path !== undefined && {path}),
  });
}

/**
 * Runs `body` while nothing can be written to a folder: not as root a test cannot make a small disk.
 *
 * @param isFull Whether the disk is full now; called at each attempt to open a file there or to write to it.
 */
export async function onFullDisk<T>(
  folder: string,
  isFull: (path: string) => boolean,
  body: () => Promise<T>,
): Promise<T> {
  const {open} = fsPromises;
  const {openSync, writeFileSync} = fs;
  const files = new Map<number, string>();
  const isThere = (path: unknown): path is string =>
    typeof path === 'string' && resolve(path).startsWith(resolve(folder) + sep);
  const check = (syscall: 'open' | 'write', path: string): void => {
    if (isFull(path)) throw fullDisk(syscall, syscall === 'open' ? path : undefined);
  };
  fsPromises.open = async (path, flags, mode) => {
    if (isThere(path) && flags !== 'r') check('open', path);
    return open(path, flags, mode);
  };
  fs.openSync = (path, flags, mode) => {
    const file = openSync(path, flags, mode);
    if (isThere(path)) files.set(file, path);
    return file;
  };
  fs.writeFileSync = (file, data, options) => {
    const path = typeof file === 'number' ? files.get(file) : file;
    if (isThere(path)) check('write', path);
    writeFileSync(file, data, options);
  };
  syncBuiltinESMExports();
  try {
    return await body();
  } finally {
    Object.assign(fs, {openSync, writeFileSync});
    fsPromises.open = open;
    syncBuiltinESMExports();
  }
}
