import {importNode} from './import_node';
import type {FileSink} from './sink';

/**
 * Files of a folder, only in Node; the folder is made if it does not exist. Files are written under
 * temporary names beside the older ones and renamed at the end, so that an older checkpoint is complete
 * until all of the new one is on the disk.
 */
export function folderSink(folder: string): FileSink {
  /** The temporary name of each file that has been written. */
  const written = new Map<string, string>();
  const suffix = `.${crypto.randomUUID()}.partial`;
  return {
    async create(path) {
      const {mkdir, open} = await importNode('node:fs/promises');
      const {join} = await importNode('node:path');
      await mkdir(folder, {recursive: true});
      const temporary = join(folder, `.${path}${suffix}`);
      const handle = await open(temporary, 'wx');
      written.set(path, temporary);
      return {
        async write(bytes) {
          let done = 0;
          while (done < bytes.length) {
            done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
          }
        },
        async close() {
          try {
            await handle.datasync();
          } finally {
            await handle.close();
          }
        },
      };
    },
    async commit(isObsolete) {
      const {readdir, rename, rm} = await importNode('node:fs/promises');
      const {join} = await importNode('node:path');
      for (const [path, temporary] of written) {
        await rename(temporary, join(folder, path));
        written.delete(path);
      }
      for (const path of (await readdir(folder)).filter(isObsolete)) await rm(join(folder, path));
    },
    async abort() {
      const {rm} = await importNode('node:fs/promises');
      for (const temporary of written.values()) await rm(temporary, {force: true});
    },
  };
}
