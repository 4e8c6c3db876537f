import type {BigIntStats} from 'node:fs';
import {finishCommit} from './folder_commit';
import {nodeModule} from './node_module';
import type {FileSource, SourceFile} from './source';
import {checkSourcePath} from './source_path';
import {unlessMissing} from './unless_missing';

/** Bytes that are read at a time: Node ends with a failed assertion where 2 GiB or more are asked for. */
const MAX_READ = 2 ** 30;

/**
 * The files of a folder, only in Node. A link is followed if it stays in the folder, or if it is a link of
 * Hugging Face's cache: from `models--<model>/snapshots/<revision>/` to `blobs/` beside `snapshots`, or to the `blobs/` that
 * all models of the cache share.
 */
export function folderSource(owner: string, folder: string): FileSource {
  return {
    name: folder,
    async open(path) {
      checkHasPaths(owner, folder);
      checkSourcePath(owner, path);
      const {realpath, stat} = nodeModule('node:fs/promises');
      const {join} = nodeModule('node:path');
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
      return openFile(owner, path, target);
    },
  };
}

/**
 * The names of what is in a folder, only in Node; none if it does not exist.
 *
 * @throws Error if the path is that of a file.
 */
export async function listFolder(owner: string, folder: string): Promise<string[]> {
  const {readdir, stat} = nodeModule('node:fs/promises');
  const stats = await unlessMissing(stat(folder));
  if (stats === null) return [];
  if (!stats.isDirectory()) {
    throw new Error(`${owner}: '${folder}' is a file; give the folder that it is in`);
  }
  await finishCommit(owner, folder);
  return readdir(folder);
}

/** The path of a folder without links; absolute also if there is no such folder yet. */
export async function realFolder(folder: string): Promise<string> {
  const {realpath} = nodeModule('node:fs/promises');
  const {resolve} = nodeModule('node:path');
  return (await unlessMissing(realpath(folder))) ?? resolve(folder);
}

/**
 * Opens a single file by its path, only in Node: also one that is a link, since whoever named it has chosen it. Null if it is not
 * there.
 */
export async function openFileAt(owner: string, path: string): Promise<SourceFile | null> {
  checkHasPaths(owner, path);
  const {realpath, stat} = nodeModule('node:fs/promises');
  const target = await unlessMissing(realpath(path));
  if (target === null) return null;
  if (!(await stat(target)).isFile()) throw new Error(`${owner}: ${path} is not a file`);
  return openFile(owner, path, target);
}

/** @throws in a page, which has no files by their paths. */
function checkHasPaths(owner: string, path: string): void {
  if (globalThis.process?.versions?.node !== undefined) return;
  throw new Error(
    `${owner}: '${path}' would be a path, and a page has none; give an https:// address, files by name or the handle of a folder, ` +
      "or for a model its name on the Hugging Face Hub, as 'owner/name'",
  );
}

async function openFile(owner: string, path: string, target: string): Promise<SourceFile> {
  const {open, stat} = nodeModule('node:fs/promises');
  const handle = await open(target, 'r');
  try {
    const {size, version} = stateOf(await handle.stat({bigint: true}));
    return {
      path,
      size,
      version,
      async read(from, to) {
        const bytes = new Uint8Array(to - from);
        let filled = 0;
        while (filled < bytes.length) {
          const length = Math.min(bytes.length - filled, MAX_READ);
          const {bytesRead} = await handle.read(bytes, filled, length, from + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        // by its path, where a file that replaces it has another number
        const stats = await unlessMissing(stat(target, {bigint: true}));
        const now = stats && stateOf(stats);
        if (now?.version !== version) throw changedFile(owner, path, size, now);
        return bytes;
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

type FileState = Pick<SourceFile, 'size' | 'version'>;

function stateOf({dev, ino, size, mtimeNs}: BigIntStats): FileState {
  return {size: Number(size), version: [dev, ino, size, mtimeNs].join(' ')};
}

/**
 * The error for a file that is not the one that was opened.
 *
 * @param size Its size at that time.
 * @param now What is there in its place, if anything.
 */
export function changedFile(
  owner: string,
  name: string,
  size: number,
  now: FileState | null,
): Error {
  const how =
    now === null
      ? 'is gone'
      : now.size === size
        ? 'was written to or replaced'
        : `had ${size} bytes when it was opened and has ${now.size} now`;
  return new Error(`${owner}: ${name} ${how}; it was changed while it was read`);
}

/** Whether the file `target` is in `root` or where a Hugging Face cache keeps it; both are real paths. */
async function isWithin(root: string, target: string): Promise<boolean> {
  const {basename, dirname, join, sep} = nodeModule('node:path');
  const snapshots = dirname(root);
  const model = dirname(snapshots);
  const isSnapshot = basename(snapshots) === 'snapshots';
  const blobs = isSnapshot ? [join(model, 'blobs')] : [];
  if (isSnapshot && basename(model).startsWith('models--')) blobs.push(join(model, '../blobs'));
  return [root, ...blobs].some((folder) => target.startsWith(join(folder, sep)));
}
