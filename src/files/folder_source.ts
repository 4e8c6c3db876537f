import {finishCommit, unlessMissing} from './folder_commit';
import {importNode} from './import_node';
import type {FileSource, SourceFile} from './source';
import {checkSourcePath} from './source_path';

/** Whether a text can be the path of a folder: not empty, and no URL. */
export function isFolderPath(text: string): boolean {
  return text !== '' && !text.includes('\0') && !/^[a-z][a-z\d+.-]+:\/\//i.test(text);
}

/**
 * The files of a folder, only in Node. A link is followed if it stays in the folder, or if it is a link of
 * Hugging Face's cache: from `snapshots/<revision>/` to `blobs/` beside `snapshots`.
 */
export function folderSource(owner: string, folder: string): FileSource {
  return {
    name: folder,
    async open(path) {
      checkSourcePath(owner, path);
      const {open, realpath, stat} = await importNode('node:fs/promises');
      const {join} = await importNode('node:path');
      const root = await unlessMissing(realpath(folder));
      if (root === null) throw new Error(`${owner}: there is no folder '${folder}'`);
      await finishCommit(owner, root);
      const target = await unlessMissing(realpath(join(root, path)));
      if (target === null) return null;
      if (!(await isWithin(root, target))) {
        throw new Error(
          `${owner}: ${path} is a link to '${target}', which is not in the folder '${folder}'; ` +
            'copy the file there if you trust it',
        );
      }
      // checked before it is opened: opening a pipe would wait for its writer
      if (!(await stat(target)).isFile()) throw new Error(`${owner}: ${path} is not a file`);
      return openFile(owner, path, await open(target, 'r'));
    },
  };
}

async function openFile(
  owner: string,
  path: string,
  handle: Awaited<ReturnType<(typeof import('node:fs/promises'))['open']>>,
): Promise<SourceFile> {
  const {size} = await handle.stat();
  return {
    path,
    size,
    async read(from, to) {
      const bytes = new Uint8Array(to - from);
      let filled = 0;
      while (filled < bytes.length) {
        const {bytesRead} = await handle.read(bytes, filled, bytes.length - filled, from + filled);
        if (bytesRead === 0) {
          throw new Error(
            `${owner}: ${path} had ${size} bytes when it was opened and has ` +
              `${from + filled} now; it was changed while it was read`,
          );
        }
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

/** Whether the file `target` is in `root` or where a Hugging Face cache keeps it; both are real paths. */
async function isWithin(root: string, target: string): Promise<boolean> {
  const {basename, dirname, join, sep} = await importNode('node:path');
  const snapshots = dirname(root);
  const blobs = basename(snapshots) === 'snapshots' ? [join(dirname(snapshots), 'blobs')] : [];
  return [root, ...blobs].some((folder) => target.startsWith(join(folder, sep)));
}
