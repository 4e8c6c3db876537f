/**
 * How new files take the places of older ones in a folder (only in Node): all of them or none, for whoever opens the folder next.
 * They are written under temporary names; then a journal says which names they get and which files go. From the moment when the
 * journal is there, the change is decided: if the program is stopped before all is done, the next one that opens the folder does
 * the rest. One that does not know journals, such as Python's transformers, finds the last file missing until then.
 *
 * A journal's name says which process does what is in it. Another one takes over by renaming it: so it is always one that does it, and
 * none removes a file that another one has just put in its place.
 */
import {nodeModule} from './node_module';
import {unlessMissing} from './unless_missing';
import {isDead, thisProcess, type WritingProcess} from './writing_process';

/** What is to be done. */
export interface Journal {
  /** Temporary names and final ones; the last file is the one without which no reader takes the others. */
  renames: Array<[temporary: string, path: string]>;
  removals: string[];
}

/** Both have number and start of their process, and its machine. */
export const TEMPORARY = /^\..+\.(\d+)-(\d+)@([^/\\]*)\.[0-9a-f-]{36}\.partial$/;
export const JOURNAL = /^\.commit\.(\d+)-(\d+)@([^/\\]*)\.[0-9a-f-]{36}\.json$/;

/**
 * The files that this library writes to such a folder: of a model, an adapter or a checkpoint of a training. A journal may name no
 * others, because it may be a stranger's, in a folder that was downloaded.
 */
const WRITTEN: readonly RegExp[] = [
  /^README\.md$/,
  /^model(?:-\d{5}-of-\d{5})?\.safetensors$/,
  /^model\.gguf$/,
  /^model\.safetensors\.index\.json$/,
  /^(?:config|generation_config|tokenizer|tokenizer_config|vocab|special_tokens_map|added_tokens)\.json$/,
  /^tokenizer\.model$/,
  /^merges\.txt$/,
  /^chat_template\.(?:jinja|json)$/,
  /^adapter_(?:config\.json|model\.safetensors)$/,
  /^[0-9a-f]{32}\.safetensors$/,
  /^checkpoint-\d{6,15}-[0-9a-f]{32}\.json$/,
];

/** More than a journal with the names of a thousand files has. */
const MAX_BYTES = 2 ** 20;

/**
 * Milliseconds for which a change of a process that may be at work, on this or another machine, is waited for: it renames a few
 * files.
 */
export const PATIENCE = 1000;

/** The last change that this process has made in a folder, by its real path: whoever opens the folder waits. */
const lastChanges = new Map<string | null, Promise<void>>();

/** A new temporary name for a file, which says who writes it. */
export async function temporaryName(path: string): Promise<string> {
  return temporaryNameOf(path, await ownProcess());
}

/** The same of a process whose machine is named as in file names. */
export function temporaryNameOf(
  path: string,
  writer: WritingProcess,
  id: string = crypto.randomUUID(),
): string {
  return `.${path}.${nameOf(writer)}.${id}.partial`;
}

/** Whether a name is one that a file has only until it is complete, or that of a journal. */
export function isPassingName(name: string): boolean {
  return TEMPORARY.test(name) || JOURNAL.test(name);
}

/** A new name for a journal of a process whose machine is named as in file names. */
export function journalNameOf(writer: WritingProcess, id: string = crypto.randomUUID()): string {
  return `.commit.${nameOf(writer)}.${id}.json`;
}

async function journalName(): Promise<string> {
  return journalNameOf(await ownProcess());
}

/**
 * Puts files in their places and removes others.
 *
 * @param isObsolete Whether a file is to be removed; folders stay.
 * @param onDecided Called when the journal is there.
 * @throws Error if a name is none of {@link WRITTEN}, or a folder stands where a file is to be; nothing is changed then. Error if not
 *   all could be done; the next call of {@link finishCommit} does the rest.
 */
export async function commitFiles(
  owner: string,
  folder: string,
  renames: Journal['renames'],
  isObsolete: (path: string) => boolean,
  onDecided: () => void,
): Promise<void> {
  const {readdir, rename, rm, writeFile} = nodeModule('node:fs/promises');
  const {join} = nodeModule('node:path');
  await afterOthers(folder, async () => {
    // what another change has just put there is obsolete, too
    const entries = await readdir(folder, {withFileTypes: true});
    const folders = new Set(entries.map((entry) => entry.isDirectory() && entry.name));
    const removals = entries.map(({name}) => name).filter((name) => isObsolete(name) && !folders.has(name)); // prettier-ignore
    for (const path of [...renames.map(([, to]) => to), ...removals]) {
      if (!isWrittenName(path))
        throw new Error(`${owner}: '${path}' is no name of a file of a model or a checkpoint`);
    }
    const [, taken] = renames.find(([, path]) => folders.has(path)) ?? [];
    if (taken !== undefined)
      throw new Error(
        `${owner}: '${join(folder, taken)}' is a folder, where a file is to be written; move it away`,
      );
    const name = await journalName();
    const temporary = join(folder, await temporaryName('.commit.json'));
    try {
      await writeFile(temporary, JSON.stringify({renames, removals}), {flag: 'wx', flush: true});
      await rename(temporary, join(folder, name));
    } catch (error) {
      await unlessMissing(rm(temporary));
      throw error;
    }
    onDecided();
    await doRest(owner, folder);
  });
}

/**
 * Does what is left of a change whose program was stopped; usually nothing.
 *
 * @throws Error if another process is making the change, or if the folder cannot be written to.
 */
export function finishCommit(owner: string, folder: string): Promise<void> {
  return afterOthers(folder, () => doRest(owner, folder));
}

/** Runs `body` when this process has made the change of a folder that it is at. */
async function afterOthers(folder: string, body: () => Promise<void>): Promise<void> {
  const {realpath} = nodeModule('node:fs/promises');
  const key = await unlessMissing(realpath(folder));
  const work = Promise.resolve(lastChanges.get(key)?.catch(() => undefined)).then(body);
  lastChanges.set(key, work);
  return work;
}

/** Removes temporary files of programs that were stopped on this machine. */
export async function removeLeftovers(folder: string): Promise<void> {
  const {readdir, rm} = nodeModule('node:fs/promises');
  const {join} = nodeModule('node:path');
  const own = await ownProcess();
  for (const path of await readdir(folder)) {
    const writer = writerIn(TEMPORARY.exec(path));
    if (writer && isDead(writer, own)) await unlessMissing(rm(join(folder, path)));
  }
}

async function doRest(owner: string, folder: string): Promise<void> {
  const {readdir} = nodeModule('node:fs/promises');
  for (;;) {
    const names = (await unlessMissing(readdir(folder))) ?? [];
    const name = names.find((path) => JOURNAL.test(path));
    if (name === undefined) return;
    await follow(owner, folder, name);
  }
}

/** Does what a journal says, unless another process does it. */
async function follow(owner: string, folder: string, name: string): Promise<void> {
  const {lstat, readFile, rm} = nodeModule('node:fs/promises');
  const {join} = nodeModule('node:path');
  const stats = await unlessMissing(lstat(join(folder, name)));
  if (stats === null) return;
  // a pipe would be waited for, and a link leads to what is no journal of this folder
  if (!stats.isFile())
    throw new Error(`${owner}: '${join(folder, name)}' is not a file; remove it`);
  const bytes = await unlessMissing(readFile(join(folder, name)));
  if (bytes === null) return;
  const {renames, removals} = parseJournal(`${owner}: ${join(folder, name)}`, bytes);
  const [writer, own] = [writerIn(JOURNAL.exec(name))!, await ownProcess()];
  const isOwn = nameOf(writer) === nameOf(own);
  const since = performance.now();
  while (!isOwn && !isDead(writer, own)) {
    if ((await unlessMissing(lstat(join(folder, name)))) === null) return;
    if (performance.now() - since > PATIENCE) {
      // nobody can tell whether a process of another machine still runs
      if (writer.host !== own.host) break;
      throw new Error(
        `${owner}: process ${writer.pid} is putting files into '${folder}'; wait until it has finished`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const last = renames.at(-1);
  try {
    const taken = isOwn ? name : await journalName();
    if (!isOwn && !(await isRenamed(join(folder, name), join(folder, taken)))) return;
    await syncFolder(folder);
    if (last && (await unlessMissing(lstat(join(folder, last[0]))))) {
      await unlessMissing(rm(join(folder, last[1])));
    }
    for (const [temporary, path] of renames) {
      // what is not there any more has its place already
      await isRenamed(join(folder, temporary), join(folder, path));
    }
    for (const path of removals) await unlessMissing(rm(join(folder, path)));
    await syncFolder(folder);
    await unlessMissing(rm(join(folder, taken)));
  } catch (error) {
    throw new Error(
      `${owner}: new files are complete in '${folder}', but not all of them could be put in their places: ` +
        `${(error as Error).message}. The next program that opens the folder tries again; it must be able to write to it`,
      {cause: error},
    );
  }
}

/** Whether a name is one of {@link WRITTEN}. */
export function isWrittenName(name: unknown): boolean {
  return typeof name === 'string' && WRITTEN.some((pattern) => pattern.test(name));
}

/** Null if it is none, or longer than any journal; what it says is looked at by the caller. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return bytes.length > MAX_BYTES ? null : JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** @throws Error unless a journal names temporary files and {@link WRITTEN} ones only. */
export function parseJournal(owner: string, bytes: Uint8Array): Journal {
  const journal = parseJson(bytes) as Partial<Journal> | null;
  const {renames, removals} = journal ?? {};
  const isTemporary = (name: unknown): boolean =>
    typeof name === 'string' && TEMPORARY.test(name) && !/[/\\\0]/.test(name);
  const isRight =
    Array.isArray(renames) &&
    renames.every(
      (pair) =>
        Array.isArray(pair) && pair.length === 2 && isTemporary(pair[0]) && isWrittenName(pair[1]),
    ) &&
    Array.isArray(removals) &&
    removals.every(isWrittenName);
  if (isRight) return journal as Journal;
  throw new Error(
    `${owner} is not a list of files of a model or a checkpoint; it is not from this library, so remove it`,
  );
}

/** This process; the name of its machine as a file's name can have it. */
async function ownProcess(): Promise<WritingProcess> {
  const {hostname} = nodeModule('node:os');
  return thisProcess(encodeURIComponent(hostname()));
}

/** A process, as it stands in the names of temporary files and journals. */
function nameOf({pid, processStart, host}: WritingProcess): string {
  return `${pid}-${processStart}@${host}`;
}

/** The process in a name; null if it has none. */
export function writerIn(match: RegExpExecArray | null): WritingProcess | null {
  if (!match) return null;
  const [, pid, processStart, host] = match;
  return {host: host!, pid: Number(pid), processStart: Number(processStart)};
}

/** Renames a file; false if it is not there. */
async function isRenamed(from: string, to: string): Promise<boolean> {
  const {rename} = nodeModule('node:fs/promises');
  return (await unlessMissing(rename(from, to))) !== null;
}

/** Writes the names of a folder's files to the disk. */
async function syncFolder(folder: string): Promise<void> {
  // Windows has no such call: it refuses to open a folder.
  if (process.platform === 'win32') return;
  const {open} = nodeModule('node:fs/promises');
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
