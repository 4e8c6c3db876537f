/** A new file of a folder, and words for what goes wrong with it; only in Node. */
import {nodeModule} from './node_module';
import type {SinkFile} from './sink';

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
  const {open} = nodeModule('node:fs/promises');
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
