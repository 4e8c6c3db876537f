/**
 * A folder as a browser gives it: a `FileSystemDirectoryHandle`, of its own storage (OPFS) or one that a user has picked. Anything that has
 * these of its methods will do.
 */
export interface DirectoryHandle {
  readonly kind: 'directory';
  readonly name: string;
  /** The file of that name; with `create` made if it is missing, else it rejects. */
  getFileHandle(name: string, options?: {create?: boolean}): Promise<FileHandle>;
  /** The folder of that name, likewise. */
  getDirectoryHandle(name: string, options?: {create?: boolean}): Promise<DirectoryHandle>;
  /** Removes a file, or a folder: with `recursive` also one that is not empty. */
  removeEntry(name: string, options?: {recursive?: boolean}): Promise<void>;
  /** Whether another handle is of the same folder. */
  isSameEntry?(other: object): Promise<boolean>;
  /** The names in it. Every browser has it; TypeScript has it in the library `DOM.AsyncIterable`. */
  keys?(): AsyncIterable<string>;
}

/** A file of such a folder, as a `FileSystemFileHandle` is. */
export interface FileHandle {
  readonly kind: 'file';
  readonly name: string;
  /** What is in it now. */
  getFile(): Promise<File>;
  /** Missing in older browsers, which have `createSyncAccessHandle`, in a worker. */
  createWritable?(): Promise<WritableHandle>;
  /** For one writer at a time, in a worker. */
  createSyncAccessHandle?(): Promise<SyncHandle>;
  /** Gives it another name, in the same folder; not everywhere. */
  move?(name: string): Promise<void>;
}

/** What is written is in the file when it is closed, and not before. */
export interface WritableHandle {
  /** Appends bytes. */
  write(data: BufferSource): Promise<void>;
  /** Ends, with what was written. */
  close(): Promise<void>;
  /** Ends, with the file as it was. */
  abort(): Promise<void>;
}

/** What is written is in the file at once. */
export interface SyncHandle {
  /** Writes bytes at a place; returns how many. */
  write(data: BufferSource, options: {at: number}): number;
  /** Sets the size in bytes. */
  truncate(size: number): void;
  /** Has what was written on the disk. */
  flush(): void;
  /** Lets others write. */
  close(): void;
}

/** What messages call a folder, by its path or handle; the browser's own storage has no name. */
export function folderName(folder: string | DirectoryHandle): string {
  return typeof folder === 'string' ? folder : folder.name || "the browser's storage";
}

export function isDirectoryHandle(value: unknown): value is DirectoryHandle {
  const {kind, getFileHandle} = (value ?? {}) as Partial<DirectoryHandle>;
  return kind === 'directory' && typeof getFileHandle === 'function';
}
