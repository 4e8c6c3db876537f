import {
  commitFiles,
  finishCommit,
  removeLeftovers,
  temporaryName,
  unlessMissing,
} from './folder_commit';
import {importNode} from './import_node';
import type {FileSink} from './sink';

/**
 * Files of a folder, only in Node; the folder is made if it does not exist. Files are written under
 * temporary names beside the older ones, and take their places together when all are on the disk.
 *
 * @param owner What messages start with.
 */
export function folderSink(owner: string, folder: string): FileSink {
  /** The temporary path of each file that has been written. */
  const written = new Map<string, string>();
  /** Whether the files are about to take their places, so that they must stay. */
  let isDecided = false;

  async function prepare(): Promise<void> {
    const {mkdir} = await importNode('node:fs/promises');
    await mkdir(folder, {recursive: true});
    await finishCommit(owner, folder);
    await removeLeftovers(folder);
  }

  return {
    create: (path) =>
      writing(async () => {
        const {open} = await importNode('node:fs/promises');
        const {join} = await importNode('node:path');
        if (written.size === 0) await prepare();
        const temporary = await temporaryName(path);
        const handle = await open(join(folder, temporary), 'wx');
        written.set(path, temporary);
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
      }),
    async commit(isObsolete) {
      const {readdir} = await importNode('node:fs/promises');
      const renames = [...written].map(
        ([path, temporary]) => [temporary, path] as [string, string],
      );
      const removals = (await readdir(folder)).filter(isObsolete);
      await writing(() =>
        commitFiles(owner, folder, renames, removals, () => {
          isDecided = true;
        }),
      );
    },
    async abort() {
      if (isDecided) return;
      const {rm} = await importNode('node:fs/promises');
      const {join} = await importNode('node:path');
      for (const temporary of written.values()) await unlessMissing(rm(join(folder, temporary)));
    },
  };

  /** Runs `body`; an error of the system, such as that of a full disk, says which folder it is about. */
  async function writing<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      const {code, message} = error as {code?: string; message: string};
      if (code === undefined) throw error;
      throw new Error(
        `${owner}: cannot write to the folder '${folder}': ${message}; the files that were in it are as they were`,
        {cause: error},
      );
    }
  }
}
