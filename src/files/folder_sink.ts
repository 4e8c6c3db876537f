import {commitFiles, finishCommit, removeLeftovers, temporaryName} from './folder_commit';
import {newSinkFile, tellingPlace} from './new_file';
import {nodeModule} from './node_module';
import type {FileSink} from './sink';
import {unlessMissing} from './unless_missing';

/**
 * Files of a folder, only in Node; the folder is made if it does not exist. Files are written under
 * temporary names beside the older ones, and take their places together when all are on the disk.
 *
 * @param owner What messages start with.
 */
export function folderSink(owner: string, folder: string): FileSink {
  /** The temporary path of each file that has been written. */
  const written = new Map<string, string>();
  const writing = tellingPlace(
    `${owner}: cannot write to the folder '${folder}'`,
    'the files that were in it are as they were',
  );
  /** Whether the files are about to take their places, so that they must stay. */
  let isDecided = false;

  async function prepare(): Promise<void> {
    const {mkdir} = nodeModule('node:fs/promises');
    await mkdir(folder, {recursive: true});
    await finishCommit(owner, folder);
    await removeLeftovers(folder);
  }

  return {
    create: (path) =>
      writing(async () => {
        const {join} = nodeModule('node:path');
        if (written.size === 0) await prepare();
        const temporary = await temporaryName(path);
        const file = await newSinkFile(join(folder, temporary), writing);
        written.set(path, temporary);
        return file;
      }),
    async commit(isObsolete) {
      const renames = [...written].map(
        ([path, temporary]) => [temporary, path] as [string, string],
      );
      await writing(() =>
        commitFiles(owner, folder, renames, isObsolete, () => {
          isDecided = true;
        }),
      );
    },
    async abort() {
      if (isDecided) return;
      const {rm} = nodeModule('node:fs/promises');
      const {join} = nodeModule('node:path');
      for (const temporary of written.values()) await unlessMissing(rm(join(folder, temporary)));
    },
  };
}
