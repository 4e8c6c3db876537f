import type {DirectoryHandle} from './directory_handle';

/** Where a checkpoint is written: the path of a folder (Node only), a `FileSystemDirectoryHandle`, or a map that takes the files. */
export type ModelTarget = string | DirectoryHandle | Map<string, Uint8Array>;

/** Takes files; none is visible in the target before `commit`. */
export interface FileSink {
  /** Starts a file that will have `size` bytes. */
  create(path: string, size: number): Promise<SinkFile>;
  /**
   * Replaces older files by the new ones, and removes the other files for which `isObsolete` holds. The file that was created last
   * should be the one without which no reader takes the others.
   */
  commit(isObsolete: (path: string) => boolean): Promise<void>;
  /** Gives up: the target stays as it was. */
  abort(): Promise<void>;
}

export interface SinkFile {
  /** Appends bytes; the caller may change them after the promise has resolved. */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Writes a file whole. */
export async function writeFile(
  sink: FileSink,
  path: string,
  size: number,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = await sink.create(path, size);
  try {
    for await (const piece of pieces) await file.write(piece);
  } finally {
    await file.close();
  }
}
