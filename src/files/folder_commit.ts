/**
 * How new files take the places of older ones in a folder (only in Node): all of them or none, for whoever opens the folder next.
 * They are written under temporary names; then a journal says which names they get and which files go. From the moment when the
 * journal is there, the change is decided: if the program is stopped before all is done, the next one that opens the folder does
 * the rest. One that does not know journals, such as Python's transformers, finds the last file missing until then.
 */
import {importNode} from './import_node';
import {parseJsonObject} from './json';

/** What is to be done. */
interface Journal {
  /** Process and machine that wrote it. */
  writer: string;
  /** Temporary names and final ones; the last file is the one without which no reader takes the others. */
  renames: Array<[temporary: string, path: string]>;
  removals: string[];
}

const JOURNAL = '.commit.json';
const TEMPORARY = /^\..+\.(\d+@[^/\\]*)\.[0-9a-f-]{36}\.partial$/;

/** Changes that this process is making, by folder: whoever opens one of these folders waits. */
const underWay = new Map<string, Promise<void>>();

/** A new temporary name for a file, which says who writes it. */
export async function temporaryName(path: string): Promise<string> {
  return `.${path}.${await ownName()}.${crypto.randomUUID()}.partial`;
}

/**
 * Puts files in their places and removes others.
 *
 * @param onDecided Called when the journal is there.
 * @throws Error if a folder stands where a file is to be; nothing is changed then. Error if not all could be done; the next call of
 *   {@link finishCommit} does the rest.
 */
export async function commitFiles(
  owner: string,
  folder: string,
  renames: ReadonlyArray<[temporary: string, path: string]>,
  removals: readonly string[],
  onDecided: () => void,
): Promise<void> {
  const {lstat, rename, writeFile} = await importNode('node:fs/promises');
  const {join} = await importNode('node:path');
  for (const [, path] of renames) {
    const stats = await unlessMissing(lstat(join(folder, path)));
    if (stats?.isDirectory()) {
      throw new Error(
        `${owner}: '${join(folder, path)}' is a folder, where a file is to be written; move it away`,
      );
    }
  }
  const journal: Journal = {
    writer: await ownName(),
    renames: [...renames],
    removals: [...removals],
  };
  const temporary = join(folder, await temporaryName(JOURNAL));
  await writeFile(temporary, JSON.stringify(journal), {flush: true});
  await rename(temporary, join(folder, JOURNAL));
  onDecided();
  await finishCommit(owner, folder);
}

/**
 * Does what is left of a change whose program was stopped; usually nothing.
 *
 * @throws Error if another process is making the change, or if the folder cannot be written to.
 */
export async function finishCommit(owner: string, folder: string): Promise<void> {
  const {resolve} = await importNode('node:path');
  const key = resolve(folder);
  const running = underWay.get(key);
  if (running) return running;
  const work = doRest(owner, folder).finally(() => underWay.delete(key));
  underWay.set(key, work);
  return work;
}

/** Removes temporary files of programs that were stopped on this machine. */
export async function removeLeftovers(folder: string): Promise<void> {
  const {readdir, rm} = await importNode('node:fs/promises');
  const {join} = await importNode('node:path');
  for (const path of await readdir(folder)) {
    const writer = TEMPORARY.exec(path)?.[1];
    if (writer !== undefined && (await isDead(writer))) await rm(join(folder, path), {force: true});
  }
}

async function doRest(owner: string, folder: string): Promise<void> {
  const {lstat, readFile, rename, rm} = await importNode('node:fs/promises');
  const {join} = await importNode('node:path');
  const bytes = await unlessMissing(readFile(join(folder, JOURNAL)));
  if (bytes === null) return;
  const {writer, renames, removals} = parseJournal(`${owner}: ${join(folder, JOURNAL)}`, bytes);
  if (writer !== (await ownName()) && writer.endsWith(await ownHost()) && !(await isDead(writer))) {
    throw new Error(
      `${owner}: process ${writer} is putting files into '${folder}'; wait until it has finished`,
    );
  }
  const last = renames.at(-1);
  try {
    await syncFolder(folder);
    if (last && (await unlessMissing(lstat(join(folder, last[0]))))) {
      await rm(join(folder, last[1]), {force: true});
    }
    for (const [temporary, path] of renames) {
      // what is not there any more has its place already
      await unlessMissing(rename(join(folder, temporary), join(folder, path)));
    }
    for (const path of removals) await rm(join(folder, path), {force: true});
    await syncFolder(folder);
    await rm(join(folder, JOURNAL), {force: true});
  } catch (error) {
    throw new Error(
      `${owner}: new files are complete in '${folder}', but not all of them could be put in their places: ` +
        `${(error as Error).message}. The next program that opens the folder tries again; it must be able to write to it`,
      {cause: error},
    );
  }
}

/** Throws unless a journal names files of its own folder only. */
function parseJournal(owner: string, bytes: Uint8Array): Journal {
  const journal = parseJsonObject(owner, bytes) as Partial<Journal>;
  const {writer, renames, removals} = journal;
  const isName = (name: unknown): boolean =>
    typeof name === 'string' && /^[^/\\\0]+$/.test(name) && name !== '.' && name !== '..';
  const isRight =
    typeof writer === 'string' &&
    Array.isArray(renames) &&
    renames.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isName)) &&
    renames.every(([temporary]) => TEMPORARY.test(temporary)) &&
    Array.isArray(removals) &&
    removals.every(isName);
  if (isRight) return journal as Journal;
  throw new Error(
    `${owner} is not a list of files to be renamed; remove it if you did not expect it`,
  );
}

/** This process, as it stands in temporary names and journals. */
async function ownName(): Promise<string> {
  return `${process.pid}${await ownHost()}`;
}

async function ownHost(): Promise<string> {
  const {hostname} = await importNode('node:os');
  return `@${encodeURIComponent(hostname())}`;
}

/** Whether a process is one of this machine and does not run any more. */
async function isDead(writer: string): Promise<boolean> {
  if (!writer.endsWith(await ownHost())) return false;
  try {
    process.kill(Number.parseInt(writer), 0); // sends nothing
    return false;
  } catch (error) {
    return (error as {code?: string}).code === 'ESRCH';
  }
}

/** Writes the names of a folder's files to the disk. */
async function syncFolder(folder: string): Promise<void> {
  // Windows has no such call: it refuses to open a folder.
  if (process.platform === 'win32') return;
  const {open} = await importNode('node:fs/promises');
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Null if a file or folder does not exist. */
export async function unlessMissing<T>(result: Promise<T>): Promise<T | null> {
  try {
    return await result;
  } catch (error) {
    const {code} = error as {code?: string};
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
