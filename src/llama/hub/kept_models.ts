/**
 * The models of the Hub that a browser keeps, in its storage:
 *
 * ```
 * models/owner--name/refs.json          the commit of each revision that was asked for
 * models/owner--name/COMMIT.json        the files of a commit, with sizes and hashes
 * models/owner--name/blobs/HASH/0, 1, … the parts of a content, as they came
 * models/owner--name/blobs/HASH/whole   is there when all parts are, and have this hash
 * ```
 */
import {browserStorage} from '../../files/browser_storage';
import type {DirectoryHandle} from '../../files/directory_handle';
import {
  fileIn,
  isNamed,
  namesIn,
  openWriter,
  remove,
  unlessNotFound,
  write,
  type HandleWriter,
} from '../../files/handle_files';
import {parseHubName} from '../../files/hub_name';
import type {HubFile, HubModel} from './describe_model';
import type {Arrived} from './transfer';

const FOLDER = 'models';
const REFS = 'refs.json';
const BLOBS = 'blobs';
const WHOLE = 'whole';

/** Bytes of a part of a content: where a browser shows no file before it is closed, as many are lost when a page is. */
const PART = 2 ** 25;
/** Bytes that are read at a time. */
const PIECE = 2 ** 22;

/** A model of the Hub in the browser's storage. */
export interface KeptModel {
  /** `owner/name`. */
  name: string;
  /** Its branches, tags and commits that were asked for. */
  revisions: string[];
  /** In bytes, also of downloads that have broken off. */
  bytes: number;
}

/** The models of the Hub of which the browser keeps anything for this page's origin, by name. */
export async function listKeptModels(): Promise<KeptModel[]> {
  const models = await unlessNotFound((await browserStorage()).getDirectoryHandle(FOLDER));
  if (!models) return [];
  const kept: KeptModel[] = [];
  for (const folder of (await namesIn(models)).sort()) {
    const model = new KeptFiles(await models.getDirectoryHandle(folder));
    const bytes = await model.bytes();
    // a first try that has failed leaves none
    if (bytes === 0) continue;
    const revisions = Object.keys(await model.refs());
    kept.push({name: folder.replace('--', '/'), revisions, bytes});
  }
  return kept;
}

/**
 * Removes a model of the Hub from the browser's storage.
 *
 * @param name `owner/name`.
 * @throws Error if it is not there.
 */
export async function deleteKeptModel(name: string): Promise<void> {
  const models = await unlessNotFound((await browserStorage()).getDirectoryHandle(FOLDER));
  const id = parseHubName(name)?.id;
  try {
    if (!models || id === undefined) throw new DOMException('', 'NotFoundError');
    await models.removeEntry(folderOf(id), {recursive: true});
  } catch (cause) {
    if (!isNamed(cause, 'NotFoundError')) throw cause;
    throw new Error(`deleteKeptModel: the browser keeps no model '${name}'`, {cause});
  }
}

/** The files of a model, whose folder is made if it is not there. */
export async function keptFiles(id: string, part = PART): Promise<KeptFiles> {
  const storage = await browserStorage();
  const models = await storage.getDirectoryHandle(FOLDER, {create: true});
  return new KeptFiles(await models.getDirectoryHandle(folderOf(id), {create: true}), part);
}

const folderOf = (id: string): string => id.replace('/', '--');

/** The files of a model in the browser's storage. */
export class KeptFiles {
  constructor(
    private readonly folder: DirectoryHandle,
    private readonly part = PART,
  ) {}

  /** The commits, by revision. */
  async refs(): Promise<Record<string, string>> {
    return ((await this.json(REFS)) ?? {}) as Record<string, string>;
  }

  /** A revision as it was when it was last asked for; null if it never was. */
  async model(revision: string): Promise<HubModel | null> {
    const commit = (await this.refs())[revision];
    if (commit === undefined) return null;
    const files = (await this.json(`${commit}.json`)) as Array<[string, HubFile]> | null;
    return files && {commit, files: new Map(files)};
  }

  /** Notes what a revision is, and removes what belonged to commits that no revision is any more. */
  async note(revision: string, {commit, files}: HubModel): Promise<void> {
    const refs = await this.refs();
    if (refs[revision] === commit) return;
    await this.put(`${commit}.json`, [...files]);
    const all = {...refs, [revision]: commit};
    await this.put(REFS, all);
    const used = new Set<string>();
    for (const each of new Set(Object.values(all))) {
      for (const [, {hash}] of (await this.json(`${each}.json`)) as Array<[string, HubFile]>)
        used.add(hash);
    }
    for (const name of await namesIn(this.folder)) {
      const [, old] = /^([\da-f]{40})\.json$/.exec(name) ?? [];
      if (old !== undefined && !Object.values(all).includes(old)) await remove(this.folder, name);
    }
    const blobs = await unlessNotFound(this.folder.getDirectoryHandle(BLOBS));
    for (const hash of blobs ? await namesIn(blobs) : [])
      if (!used.has(hash)) await blobs!.removeEntry(hash, {recursive: true});
  }

  /** A content; null if not all of it is there. */
  async content({hash, size}: HubFile): Promise<Blob | null> {
    const blobs = await unlessNotFound(this.folder.getDirectoryHandle(BLOBS));
    const folder = blobs && (await unlessNotFound(blobs.getDirectoryHandle(hash)));
    if (!folder || !(await unlessNotFound(folder.getFileHandle(WHOLE)))) return null;
    const content = new Blob(await partsIn(folder));
    return content.size === size ? content : null;
  }

  /** What has come of a content. */
  async arrived({hash}: HubFile): Promise<ArrivedParts> {
    const blobs = await this.folder.getDirectoryHandle(BLOBS, {create: true});
    const folder = await blobs.getDirectoryHandle(hash, {create: true});
    return new ArrivedParts(folder, await partsIn(folder), this.part);
  }

  /** Removes a content. */
  async drop({hash}: HubFile): Promise<void> {
    const blobs = await this.folder.getDirectoryHandle(BLOBS, {create: true});
    await unlessNotFound(blobs.removeEntry(hash, {recursive: true}));
  }

  async bytes(): Promise<number> {
    const blobs = await unlessNotFound(this.folder.getDirectoryHandle(BLOBS));
    let bytes = 0;
    for (const hash of blobs ? await namesIn(blobs) : []) {
      for (const {size} of await partsIn(await blobs!.getDirectoryHandle(hash))) bytes += size;
    }
    return bytes;
  }

  private async json(name: string): Promise<unknown> {
    const file = await (await fileIn('', this.folder, name))?.getFile();
    try {
      return file ? JSON.parse(await file.text()) : null;
    } catch {
      return null; // its page was closed while it was written
    }
  }

  private put(name: string, value: unknown): Promise<void> {
    return write(this.folder, name, new TextEncoder().encode(JSON.stringify(value)));
  }
}

/** The parts of a content, in their order. */
async function partsIn(folder: DirectoryHandle): Promise<File[]> {
  const parts: File[] = [];
  for (;;) {
    const part = await fileIn('', folder, String(parts.length));
    if (!part) return parts;
    parts.push(await part.getFile());
  }
}

/** What has come of a content, in parts; the last one grows until `close`. */
class ArrivedParts implements Arrived {
  size: number;
  private count: number;
  private writer: HandleWriter | null = null;
  /** Bytes of the part that is being written. */
  private written = 0;

  constructor(
    private readonly folder: DirectoryHandle,
    parts: readonly File[],
    private readonly part: number,
  ) {
    this.size = new Blob([...parts]).size;
    this.count = parts.length;
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    const all = new Blob(await partsIn(this.folder));
    for (let at = 0; at < all.size; at += PIECE)
      yield new Uint8Array(await all.slice(at, at + PIECE).arrayBuffer());
  }

  async append(piece: Uint8Array): Promise<void> {
    if (this.written >= this.part) await this.close();
    this.writer ??= await openWriter(
      await this.folder.getFileHandle(String(this.count++), {create: true}),
    );
    try {
      await this.writer.write(piece);
    } catch (error) {
      await this.writer.abort();
      this.writer = null;
      throw error;
    }
    this.size += piece.length;
    this.written += piece.length;
  }

  async clear(): Promise<void> {
    await this.close();
    for (const name of await namesIn(this.folder)) await remove(this.folder, name);
    [this.size, this.count] = [0, 0];
  }

  /** Closes the last part; what has come stays. */
  async close(): Promise<void> {
    const {writer} = this;
    [this.writer, this.written] = [null, 0];
    await writer?.close();
  }

  /** Notes that all is there. */
  async finish(): Promise<void> {
    await this.close();
    // what a browser has left of a part whose page was closed
    for (const name of await namesIn(this.folder))
      if (!/^\d+$/.test(name)) await remove(this.folder, name);
    await this.folder.getFileHandle(WHOLE, {create: true});
  }
}
