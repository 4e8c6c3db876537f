/** Single files of a folder that a browser gives: one that is not there is null, and no file is in memory as a whole. */
import type {DirectoryHandle, FileHandle} from './directory_handle';

/** Bytes that are copied at a time. */
const PIECE = 2 ** 24;

/** A file that is being written. */
export interface HandleWriter {
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
  /** Closes it, and leaves what is there. */
  abort(): Promise<void>;
}

/** Null if a file or folder does not exist. */
export async function unlessNotFound<T>(result: Promise<T>): Promise<T | null> {
  try {
    return await result;
  } catch (error) {
    if (isNamed(error, 'NotFoundError')) return null;
    throw error;
  }
}

/** Whether an error is the browser's of this name. */
export function isNamed(error: unknown, name: string): boolean {
  return (error as Partial<Error> | null)?.name === name;
}

/** The names in a folder; none if it is gone. */
export async function namesIn(folder: DirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  const listing = (async (): Promise<void> => {
    for await (const name of folder.keys!()) names.push(name);
  })();
  await unlessNotFound(listing);
  return names;
}

/**
 * A file of a folder; null if there is none.
 *
 * @throws Error if it is a folder.
 */
export async function fileIn(
  owner: string,
  folder: DirectoryHandle,
  name: string,
): Promise<FileHandle | null> {
  try {
    return await unlessNotFound(folder.getFileHandle(name));
  } catch (error) {
    if (!isNamed(error, 'TypeMismatchError')) throw error;
    throw new Error(
      `${owner}: '${name}' in the folder '${folder.name}' is a folder; move it away`,
      {
        cause: error,
      },
    );
  }
}

/** Removes a file, which may be gone already. */
export async function remove(folder: DirectoryHandle, name: string): Promise<void> {
  await unlessNotFound(folder.removeEntry(name));
}

/**
 * Opens a file for writing; what was in it goes.
 *
 * @param isWhole Whether it should stay as it is until all is written, where the browser can do so.
 */
export async function openWriter(file: FileHandle, isWhole = false): Promise<HandleWriter> {
  // in a worker, for files of the browser's own storage
  if (file.createSyncAccessHandle && !(isWhole && file.createWritable)) {
    const handle = await file.createSyncAccessHandle().catch((error: unknown) => {
      if (file.createWritable) return null;
      throw error;
    });
    if (handle) {
      handle.truncate(0);
      let at = 0;
      const close = async (): Promise<void> => handle.close();
      return {
        async write(bytes) {
          for (let from = 0; from < bytes.length;) {
            const written = handle.write(bytes.subarray(from) as BufferSource, {at});
            if (written === 0) throw new DOMException('nothing was written', 'QuotaExceededError');
            from += written;
            at += written;
          }
        },
        async close() {
          handle.flush();
          return close();
        },
        abort: close,
      };
    }
  }
  if (!file.createWritable) {
    throw new Error(`this browser writes files such as '${file.name}' only in a worker`);
  }
  const writable = await file.createWritable();
  return {
    write: (bytes) => writable.write(bytes as BufferSource),
    close: () => writable.close(),
    // one that has failed is closed already
    abort: () => writable.abort().catch(() => undefined),
  };
}

/** Writes a file that appears as a whole where the browser can do so; but it may be there, and empty, before. */
export async function write(
  folder: DirectoryHandle,
  name: string,
  data: Uint8Array | Blob,
): Promise<void> {
  const writer = await openWriter(await folder.getFileHandle(name, {create: true}), true);
  try {
    const pieces = data instanceof Uint8Array ? [data] : piecesOf(data);
    for await (const piece of pieces) await writer.write(piece);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.close();
}

async function* piecesOf(blob: Blob): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < blob.size; at += PIECE)
    yield new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
}

/** Gives a file, if it is there, a name that another one may have. */
export async function place(folder: DirectoryHandle, from: string, to: string): Promise<void> {
  const file = await unlessNotFound(folder.getFileHandle(from));
  if (!file) return;
  try {
    if (file.move) {
      await file.move(to);
      return;
    }
  } catch {
    // not in every folder, and not everywhere over another file
  }
  await write(folder, to, await file.getFile());
  await remove(folder, from);
}
