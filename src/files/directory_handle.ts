/**
 * A folder as a browser gives it: a `FileSystemDirectoryHandle`, of its own storage (OPFS) or one that a user has picked. Anything that has
 * these of its methods will do.
 */
export interface DirectoryHandle {
  readonly kind: 'directory';
  readonly name: string;
  getFileHandle(name: string, options?: {create?: boolean}): Promise<FileHandle>;
  getDirectoryHandle(name: string, options?: {create?: boolean}): Promise<DirectoryHandle>;
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
  getFile(): Promise<File>;
  /** Missing in older browsers, which have `createSyncAccessHandle`, in a worker. */
  createWritable?(): Promise<WritableHandle>;
  createSyncAccessHandle?(): Promise<SyncHandle>;
  /** Gives it another name, in the same folder; not everywhere. */
  move?(name: string): Promise<void>;
}

/** What is written is in the file when it is closed, and not before. */
export interface WritableHandle {
  write(data: BufferSource): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

/** What is written is in the file at once. */
export interface SyncHandle {
  write(data: BufferSource, options: {at: number}): number;
  truncate(size: number): void;
  flush(): void;
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
