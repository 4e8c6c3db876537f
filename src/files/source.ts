import type {DirectoryHandle} from './directory_handle';

/** Files by name, as a `Map` or a plain object. */
export type FileMap =
  ReadonlyMap<string, Uint8Array | Blob> | Readonly<Record<string, Uint8Array | Blob>>;

/**
 * Where the files of a checkpoint are: the path of a folder (Node only), the http(s) URL of a
 * folder, the `FileSystemDirectoryHandle` of one, or the files themselves by name, in memory or as `Blob`s (a `File` is one). Of a model
 * it may also be the path or URL of a GGUF file.
 */
export type ModelSource = string | DirectoryHandle | FileMap;

/**
 * How files behind a URL are asked for: `fetch`'s own options, such as `headers` and `signal`, and `timeout`. Headers are
 * sent to the host of the URL only, not to another one to which it redirects.
 */
export interface RequestOptions extends Omit<RequestInit, 'method' | 'body'> {
  /** Milliseconds without a byte after which a server is given up, at most 2³¹ − 1; default 60000. */
  timeout?: number;
}

/** Files by name. */
export interface FileSource {
  /** What a message calls it. */
  readonly name: string;
  /**
   * Opens a file, which the caller closes; null if there is none.
   *
   * @throws if `path` leads out of the source, or if the file is there but cannot be read.
   */
  open(path: string): Promise<SourceFile | null>;
}

/** A file of a source. */
export interface SourceFile {
  /** Its path in the source. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Another text once the file has been replaced or written to; missing where a source cannot tell. */
  readonly version?: string;
  /** Whether a read before the last one fetches the file again from its start; default false. */
  readonly isStreamed?: boolean;
  /**
   * Bytes `from` to before `to`, which must be within the file. They may be a view of the source's own
   * memory, so do not write to them. One call at a time.
   *
   * @throws if they cannot be read, or if the file was changed since it was opened.
   */
  read(from: number, to: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** All bytes of a file of at most `maxBytes`; null if there is no such file. */
export async function readWhole(
  owner: string,
  source: FileSource,
  path: string,
  maxBytes: number,
): Promise<Uint8Array | null> {
  const file = await source.open(path);
  if (!file) return null;
  try {
    return await readAll(owner, file, maxBytes);
  } finally {
    await file.close();
  }
}

/** The same of a file that is open, and stays open. */
export async function readAll(
  owner: string,
  file: SourceFile,
  maxBytes: number,
): Promise<Uint8Array> {
  const {path, size} = file;
  if (size > maxBytes) {
    throw new Error(
      `${owner}: ${path} has ${size} bytes; no more than ${maxBytes} are read of such a file`,
    );
  }
  return file.read(0, size);
}
