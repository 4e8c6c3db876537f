/**
 * What `folder_commit` does, in a folder that a browser gives: under the same names and with the same journals, so that each finishes what
 * the other began. Who writes is a page or a worker, which holds a Web Lock as long as it lives; whoever commits holds one of the
 * folder. Where files cannot be moved, each is copied to its place; it appears there as a whole.
 */
import {
  isPassingName,
  isWrittenName,
  JOURNAL,
  journalNameOf,
  parseJournal,
  parseJson,
  PATIENCE,
  TEMPORARY,
  temporaryNameOf,
  writerIn,
  type Journal,
} from './folder_commit';
import type {DirectoryHandle} from './directory_handle';
import {fileIn, namesIn, place, remove, write} from './handle_files';
import {exclusively, lockManager, lockName} from './page_locks';
import type {WritingProcess} from './writing_process';

/** What the machine of a page or worker begins with, in names of files. */
const BROWSER = 'browser-';
/** Milliseconds for which files stay of which nobody can tell whether somebody writes them. */
const MAX_AGE = 24 * 3600_000;

/** This page or worker. */
const own: WritingProcess = {
  host: `${BROWSER}${randomId()}`,
  pid: 0,
  processStart: Math.round(performance.timeOrigin),
};

/** As `crypto.randomUUID`, which only pages have that come by https. */
function randomId(): string {
  const digits = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Whether others can see that this page or worker lives. */
let living: Promise<unknown> | undefined;

/** Shows others, from now on, that this page or worker lives. */
export function showLife(): Promise<unknown> {
  return (living ??= new Promise<void>((resolve, reject) => {
    const held = (): Promise<never> => {
      resolve();
      return new Promise(() => undefined);
    };
    const locks = lockManager();
    if (locks) locks.request(lockName(own.host), held).catch(reject);
    else resolve();
  }));
}

/** Runs `body` while nobody else puts files in their places in a folder of this name. */
const committing = <T>({name}: DirectoryHandle, body: () => Promise<T>): Promise<T> =>
  exclusively(`folder ${name}`, body);

/** A new temporary name for a file. */
export function temporaryName(path: string): string {
  return temporaryNameOf(path, own, randomId());
}

/**
 * Puts files in their places and removes others.
 *
 * @param isObsolete Whether a file is to be removed.
 * @param onDecided Called when the journal is there.
 * @throws Error as `commitFiles`.
 */
export async function commitHandle(
  owner: string,
  folder: DirectoryHandle,
  renames: Journal['renames'],
  isObsolete: (path: string) => boolean,
  onDecided: () => void,
): Promise<void> {
  await committing(folder, async () => {
    const removals = (await namesIn(folder)).filter(
      (name) => isObsolete(name) && !isPassingName(name),
    );
    for (const path of [...renames.map(([, to]) => to), ...removals]) {
      if (!isWrittenName(path))
        throw new Error(`${owner}: '${path}' is no name of a file of a model or a checkpoint`);
    }
    for (const [, path] of renames) await fileIn(owner, folder, path);
    const journal = new TextEncoder().encode(JSON.stringify({renames, removals}));
    const temporary = temporaryName('.commit.json');
    try {
      await write(folder, temporary, journal);
      await place(folder, temporary, journalNameOf(own, randomId()));
    } catch (error) {
      await remove(folder, temporary);
      throw error;
    }
    onDecided();
    await doRest(owner, folder);
  });
}

/** Does what is left of a change whose page was closed; usually nothing. */
export async function finishHandle(owner: string, folder: DirectoryHandle): Promise<void> {
  if (!(await namesIn(folder)).some((name) => JOURNAL.test(name))) return;
  await committing(folder, () => doRest(owner, folder));
}

/** Removes temporary files of pages and workers that are gone. */
export async function removeLeftovers(folder: DirectoryHandle): Promise<void> {
  const {held = []} = (await lockManager()?.query()) ?? {};
  const living = new Set(held.map(({name}) => name));
  for (const path of await namesIn(folder)) {
    // chromium writes beside a file what is in it when it is closed
    const writer = writerIn(TEMPORARY.exec(path.replace(/\.crswap$/, '')));
    if (!writer?.host.startsWith(BROWSER) || writer.host === own.host) continue;
    if (living.has(lockName(writer.host))) continue;
    const file = lockManager() ? null : await (await fileIn('', folder, path))?.getFile();
    if (!file || Date.now() - file.lastModified > MAX_AGE) await remove(folder, path);
  }
}

async function doRest(owner: string, folder: DirectoryHandle): Promise<void> {
  for (;;) {
    const name = (await namesIn(folder)).find((path) => JOURNAL.test(path));
    if (name === undefined) return;
    await follow(owner, folder, name);
  }
}

/** Does what a journal says. */
async function follow(owner: string, folder: DirectoryHandle, name: string): Promise<void> {
  const {host} = writerIn(JOURNAL.exec(name))!;
  const since = performance.now();
  // a program outside of the browser, in a folder that a user has picked; it may have been stopped
  while (!host.startsWith(BROWSER) && performance.now() - since < PATIENCE) {
    if ((await fileIn(owner, folder, name)) === null) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const file = await fileIn(owner, folder, name);
  if (!file) return;
  const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
  // without `move` it is there before all of it is written
  if (host.startsWith(BROWSER) && parseJson(bytes) === null) return remove(folder, name);
  const {renames, removals} = parseJournal(`${owner}: ${folder.name}/${name}`, bytes);
  try {
    const last = renames.at(-1);
    if (last && (await fileIn(owner, folder, last[0]))) await remove(folder, last[1]);
    // what is not there any more has its place already
    for (const [temporary, path] of renames) await place(folder, temporary, path);
    for (const path of removals) await remove(folder, path);
    await remove(folder, name);
  } catch (error) {
    throw new Error(
      `${owner}: new files are complete in the folder '${folder.name}', but not all of them could be put in their places: ` +
        `${(error as Error).message}. The next program that opens the folder tries again; it must be able to write to it`,
      {cause: error},
    );
  }
}
