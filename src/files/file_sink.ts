import {checkArgument} from '../common/options';
import {removeLeftovers, temporaryName, unlessMissing} from './folder_commit';
import {isFolderPath} from './folder_source';
import {importNode} from './import_node';
import type {FileSink, SinkFile} from './sink';

/**
 * A single file, only in Node, whatever name `create` gives it. It is written under a temporary name beside its place, which it takes when
 * it is complete: an older file there stays until then. A link to one leads to the new one.
 *
 * @param owner What messages start with.
 * @throws if the target is no path.
 */
export function fileSink(owner: string, target: string): FileSink {
  const isPath = typeof target === 'string' && isFolderPath(target);
  checkArgument(owner, 'target', target, 'the path of a file, or a Map', isPath);
  const writing = tellingPlace(
    `${owner}: cannot write the file '${target}'`,
    'an older one is as it was',
  );
  let temporary: string | undefined;
  let place = target;
  return {
    create: () =>
      writing(async () => {
        const {realpath, stat} = await importNode('node:fs/promises');
        const {basename, dirname, join} = await importNode('node:path');
        place = (await unlessMissing(realpath(target))) ?? target;
        const older = await unlessMissing(stat(place));
        if (older && !older.isFile()) throw new Error(`${owner}: '${target}' is not a file`);
        await removeLeftovers(dirname(place));
        temporary = join(dirname(place), await temporaryName(basename(place)));
        return newSinkFile(temporary, writing, older?.mode);
      }),
    commit: () =>
      writing(async () => {
        const {rename} = await importNode('node:fs/promises');
        await rename(temporary!, place);
      }),
    async abort() {
      const {rm} = await importNode('node:fs/promises');
      if (temporary !== undefined) await unlessMissing(rm(temporary));
    },
  };
}

/** Runs something; an error of the system, such as that of a full disk, then says where it came about. */
export type Telling = <T>(body: () => Promise<T>) => Promise<T>;

export function tellingPlace(what: string, rest: string): Telling {
  return async (body) => {
    try {
      return await body();
    } catch (error) {
      const {code, message} = error as {code?: string; message: string};
      if (code === undefined) throw error;
      throw new Error(`${what}: ${message}; ${rest}`, {cause: error});
    }
  };
}

/**
 * A file that is not there yet, open for writing. When it is closed it is on the disk.
 *
 * @param mode Its permissions; default: those of new files.
 */
export async function newSinkFile(
  path: string,
  writing: Telling,
  mode?: number,
): Promise<SinkFile> {
  const {open} = await importNode('node:fs/promises');
  const handle = await open(path, 'wx');
  if (mode !== undefined) await handle.chmod(mode & 0o777);
  return {
    write: (bytes) => writing(() => handle.appendFile(bytes)),
    close: () =>
      writing(async () => {
        try {
          await handle.sync();
        } finally {
          await handle.close();
        }
      }),
  };
}
