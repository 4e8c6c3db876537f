/**
 * A folder in IndexedDB, with the methods of a `FileSystemDirectoryHandle`, for browsers that give a page no such folder of its own. A file
 * is an entry, by its path, and pieces, which the entry names: so it is replaced, and moved, in one transaction.
 */
import type {DirectoryHandle, FileHandle, WritableHandle} from './directory_handle';

/** Bytes of a piece. */
const PIECE = 2 ** 22;

interface FolderEntry {
  kind: 'directory';
}

interface FileEntry {
  kind: 'file';
  lastModified: number;
  /** Of its pieces; null: it has none yet. */
  content: string | null;
  /** What is being written, or was when its page was closed. */
  pending: string[];
}

type Entry = FolderEntry | FileEntry;

/** The root of the folders that a database of this name has. */
export async function indexedDbFolder(name: string): Promise<DirectoryHandle> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('entries').put({kind: 'directory'} satisfies Entry, '');
    request.result.createObjectStore('pieces');
  };
  const database = await resultOf(request);
  database.onversionchange = () => database.close();
  return new Folder(database, '', name);
}

/** What is done in one transaction. */
class Change {
  private readonly entries: IDBObjectStore;
  private readonly pieces: IDBObjectStore;

  constructor(transaction: IDBTransaction) {
    this.entries = transaction.objectStore('entries');
    this.pieces = transaction.objectStore('pieces');
  }

  get(path: string): Promise<Entry | undefined> {
    return resultOf(this.entries.get(path) as IDBRequest<Entry | undefined>);
  }

  /** The file at a path. */
  async file(path: string): Promise<FileEntry> {
    const entry = await this.get(path);
    if (!entry) throw notFound(path);
    if (entry.kind !== 'file') throw mismatch(path);
    return entry;
  }

  put(path: string, entry: Entry): Promise<unknown> {
    return resultOf(this.entries.put(entry, path));
  }

  /** The paths of all that is in a folder, and in folders in it. */
  async within(path: string): Promise<string[]> {
    const range = IDBKeyRange.bound(`${path}/`, `${path}/\uffff`);
    return (await resultOf(this.entries.getAllKeys(range))) as string[];
  }

  async remove(path: string): Promise<void> {
    const entry = await this.get(path);
    if (entry?.kind === 'file') await this.removePieces([entry.content, ...entry.pending]);
    await resultOf(this.entries.delete(path));
  }

  async removePieces(contents: ReadonlyArray<string | null>): Promise<void> {
    for (const content of contents)
      if (content !== null) await resultOf(this.pieces.delete(piecesOf(content)));
  }

  piecesOf(content: string): Promise<Blob[]> {
    return resultOf(this.pieces.getAll(piecesOf(content)) as IDBRequest<Blob[]>);
  }

  addPiece(content: string, number: number, piece: Blob): Promise<unknown> {
    return resultOf(this.pieces.put(piece, [content, number]));
  }
}

class Folder implements DirectoryHandle {
  readonly kind = 'directory';

  constructor(
    private readonly database: IDBDatabase,
    readonly path: string,
    readonly name: string,
  ) {}

  async getFileHandle(name: string, {create = false} = {}): Promise<FileHandle> {
    const path = this.pathOf(name);
    const entry = {kind: 'file', lastModified: Date.now(), content: null, pending: []} as const;
    await this.find(path, create ? {...entry, pending: []} : 'file');
    return new StoredFile(this.database, this.path, name);
  }

  async getDirectoryHandle(name: string, {create = false} = {}): Promise<DirectoryHandle> {
    const path = this.pathOf(name);
    await this.find(path, create ? {kind: 'directory'} : 'directory');
    return new Folder(this.database, path, name);
  }

  removeEntry(name: string, {recursive = false} = {}): Promise<void> {
    const path = this.pathOf(name);
    return changing(this.database, async (change) => {
      if (!(await change.get(path))) throw notFound(path);
      const within = await change.within(path);
      if (within.length > 0 && !recursive)
        throw new DOMException(`'${path}' is not empty`, 'InvalidModificationError');
      for (const each of [...within, path]) await change.remove(each);
    });
  }

  async *keys(): AsyncGenerator<string> {
    const start = this.path.length + 1;
    const paths = await changing(this.database, (change) => change.within(this.path), 'readonly');
    for (const path of paths) if (!path.includes('/', start)) yield path.slice(start);
  }

  async isSameEntry(other: object): Promise<boolean> {
    return (
      other instanceof Folder &&
      other.path === this.path &&
      other.database.name === this.database.name
    );
  }

  private pathOf(name: string): string {
    if (name === '' || name === '.' || name === '..' || /[/\\]/.test(name))
      throw new TypeError(`'${name}' is no name of a file or folder`);
    return `${this.path}/${name}`;
  }

  /** Throws unless there is an entry of this kind, or makes the one that is given. */
  private find(path: string, entry: Entry | Entry['kind']): Promise<void> {
    const kind = typeof entry === 'string' ? entry : entry.kind;
    return changing(
      this.database,
      async (change) => {
        const found = await change.get(path);
        if (found && found.kind !== kind) throw mismatch(path);
        if (found) return;
        if (typeof entry === 'string' || !(await change.get(this.path))) throw notFound(path);
        await change.put(path, entry);
      },
      typeof entry === 'string' ? 'readonly' : 'readwrite',
    );
  }
}

class StoredFile implements FileHandle {
  readonly kind = 'file';

  constructor(
    private readonly database: IDBDatabase,
    private readonly folder: string,
    public name: string,
  ) {}

  private get path(): string {
    return `${this.folder}/${this.name}`;
  }

  getFile(): Promise<File> {
    return changing(
      this.database,
      async (change) => {
        const {content, lastModified} = await change.file(this.path);
        const pieces = content === null ? [] : await change.piecesOf(content);
        return new File(pieces, this.name, {lastModified});
      },
      'readonly',
    );
  }

  async createWritable(): Promise<WritableHandle> {
    const {database, path} = this;
    const content = Array.from(crypto.getRandomValues(new Uint32Array(4))).join('-');
    let [number, waiting]: [number, Uint8Array[]] = [0, []];
    await changing(database, async (change) => {
      const entry = await change.file(path);
      await change.put(path, {...entry, pending: [...entry.pending, content]});
    });
    const flush = async (): Promise<void> => {
      const piece = new Blob(waiting as BlobPart[]);
      if (piece.size === 0) return;
      await changing(database, (change) => change.addPiece(content, number++, piece));
      waiting = [];
    };
    return {
      async write(data) {
        const bytes = ArrayBuffer.isView(data)
          ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
          : new Uint8Array(data);
        waiting.push(bytes.slice());
        if (waiting.reduce((sum, {length}) => sum + length, 0) >= PIECE) await flush();
      },
      async close() {
        await flush();
        await changing(database, async (change) => {
          const entry = await change.file(path);
          if (!entry.pending.includes(content))
            throw new DOMException(`'${path}' was written meanwhile`, 'InvalidStateError');
          const others = entry.pending.filter((each) => each !== content);
          await change.removePieces([entry.content, ...others]);
          await change.put(path, {kind: 'file', lastModified: Date.now(), content, pending: []});
        });
      },
      abort: () => changing(database, (change) => change.removePieces([content])),
    };
  }

  async move(name: string): Promise<void> {
    const [from, to] = [this.path, `${this.folder}/${name}`];
    await changing(this.database, async (change) => {
      const entry = await change.file(from);
      const older = await change.get(to);
      if (older?.kind === 'directory') throw mismatch(to);
      await change.remove(to);
      await change.put(from, {...entry, content: null, pending: []});
      await change.remove(from);
      await change.put(to, entry);
    });
    this.name = name;
  }
}

const piecesOf = (content: string): IDBKeyRange => IDBKeyRange.bound([content], [content, []]);
const notFound = (path: string): DOMException =>
  new DOMException(`there is no '${path}'`, 'NotFoundError');
const mismatch = (path: string): DOMException =>
  new DOMException(`'${path}' is of another kind`, 'TypeMismatchError');

/** Runs a transaction: all that it changes, or nothing if it throws. */
async function changing<T>(
  database: IDBDatabase,
  body: (change: Change) => Promise<T>,
  mode: 'readonly' | 'readwrite' = 'readwrite',
): Promise<T> {
  const transaction = database.transaction(['entries', 'pieces'], mode);
  const done = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new DOMException('', 'AbortError'));
  });
  try {
    const result = await body(new Change(transaction));
    await done;
    return result;
  } catch (error) {
    done.catch(() => undefined);
    try {
      transaction.abort();
    } catch {
      // it has failed, and is over already
    }
    throw error;
  }
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
}
