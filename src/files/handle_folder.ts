/** Files of a folder that a browser gives, to read and to write: as `folder_source` and `folder_sink`, with the same promises. */
import {tellingPlace} from './new_file';
import {changedFile} from './folder_source';
import type {DirectoryHandle} from './directory_handle';
import {
  commitHandle,
  finishHandle,
  removeLeftovers,
  showLife,
  temporaryName,
} from './handle_commit';
import {isNamed, namesIn, openWriter, remove, unlessNotFound} from './handle_files';
import type {FileSink} from './sink';
import type {FileSource, SourceFile} from './source';
import {checkSourcePath} from './source_path';

/** Numbers of folders, so that files of one folder are not taken for those of another. */
const numbers = new WeakMap<DirectoryHandle, number>();
let folders = 0;

export function handleSource(owner: string, folder: DirectoryHandle): FileSource {
  const number = numbers.get(folder) ?? ++folders;
  numbers.set(folder, number);
  const versionOf = ({size, lastModified}: File): string => `${number} ${size} ${lastModified}`;

  async function find(path: string): Promise<File | null> {
    const parts = path.split('/');
    const name = parts.pop()!;
    let parent: DirectoryHandle | null = folder;
    for (const part of parts) {
      parent = await unlessNotFound(parent.getDirectoryHandle(part));
      if (!parent) return null;
    }
    const handle = await unlessNotFound(parent.getFileHandle(name));
    return handle && unlessNotFound(handle.getFile());
  }

  return {
    name: folder.name,
    async open(path): Promise<SourceFile | null> {
      checkSourcePath(owner, path);
      await finishHandle(owner, folder);
      const file = await find(path).catch((error: unknown) => {
        if (!isNamed(error, 'TypeMismatchError')) throw error;
        throw new Error(`${owner}: ${path} is not a file`);
      });
      if (!file) return null;
      const {size} = file;
      const version = versionOf(file);
      return {
        path,
        size,
        version,
        async read(from, to) {
          // some browsers refuse to read a file that was replaced, and others read the new one
          const bytes = await file
            .slice(from, to)
            .arrayBuffer()
            .catch((error: unknown) => error);
          const now = await find(path);
          if (!now || versionOf(now) !== version)
            throw changedFile(owner, path, size, now && {size: now.size});
          if (!(bytes instanceof ArrayBuffer)) throw bytes;
          return new Uint8Array(bytes);
        },
        close: async () => undefined,
      };
    },
  };
}

/** The names in a folder, as `listFiles` gives them. */
export async function listHandle(owner: string, folder: DirectoryHandle): Promise<string[]> {
  await finishHandle(owner, folder);
  return namesIn(folder);
}

export function handleSink(owner: string, folder: DirectoryHandle): FileSink {
  /** The temporary name of each file that has been written. */
  const written = new Map<string, string>();
  const what = `${owner}: cannot write to the folder '${folder.name}'`;
  const rest = 'the files that were in it are as they were';
  const writing = tellingPlace(what, rest);
  /** Whether the files are about to take their places, so that they must stay. */
  let isDecided = false;

  async function prepare(): Promise<void> {
    await showLife();
    await finishHandle(owner, folder);
    await removeLeftovers(folder);
  }

  return {
    async create(path, size) {
      let room: number | null = null;
      /** Runs something; where the storage is full, the error says what does not fit. */
      const fitting = <T>(body: () => Promise<T>): Promise<T> =>
        writing(body).catch((error: unknown) => {
          const {cause} = error as Error;
          if (!isNamed(cause, 'QuotaExceededError')) throw error;
          // some browsers name more room than there is, so that a page does not learn the size of the disk
          const isKnown = room !== null && room < size;
          const had = isKnown
            ? `, and this page may store ${megabytes(room!)} more`
            : ', more than there is room for';
          throw new Error(
            `${what}: ${path} has ${megabytes(size)}${had}; ${rest}. Remove older runs and models, or save elsewhere`,
            {cause},
          );
        });
      return fitting(async () => {
        if (written.size === 0) await prepare();
        room = await roomIn(folder);
        const temporary = temporaryName(path);
        const handle = await folder.getFileHandle(temporary, {create: true});
        written.set(path, temporary);
        const writer = await openWriter(handle);
        let hasFailed = false;
        return {
          write: (bytes) =>
            fitting(() =>
              writer.write(bytes).catch(async (error: unknown) => {
                hasFailed = true;
                await writer.abort();
                throw error;
              }),
            ),
          close: () => fitting(async () => (hasFailed ? undefined : writer.close())),
        };
      });
    },
    async commit(isObsolete) {
      const renames = [...written].map(
        ([path, temporary]) => [temporary, path] as [string, string],
      );
      await writing(() =>
        commitHandle(owner, folder, renames, isObsolete, () => {
          isDecided = true;
        }),
      );
    },
    async abort() {
      if (isDecided) return;
      for (const temporary of written.values()) await remove(folder, temporary);
    },
  };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** As `freeStorage`; null also if the folder is one that a user has picked. */
async function roomIn(folder: DirectoryHandle): Promise<number | null> {
  return (await isPicked(folder)) ? null : freeStorage();
}

/** Bytes that the browser lets this page store beside what is there; null if it does not say. */
export async function freeStorage(): Promise<number | null> {
  const {storage} = (globalThis.navigator ?? {}) as Partial<Navigator>;
  const {quota, usage} = (await storage?.estimate?.()) ?? {};
  return quota === undefined || usage === undefined ? null : Math.max(0, quota - usage);
}

async function isPicked(folder: DirectoryHandle): Promise<boolean> {
  const isNative =
    typeof FileSystemDirectoryHandle === 'function' && folder instanceof FileSystemDirectoryHandle;
  if (!isNative) return false;
  return (await (await navigator.storage.getDirectory()).resolve(folder)) === null;
}
