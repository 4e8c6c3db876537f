/**
 * A lock on a folder, so that no two processes write to it at once. It names the process that holds it, and does not count when
 * that process is dead. (Locks that a timer refreshes, as those of proper-lockfile, do not fit: no timer runs while a backend
 * computes a step, which may take minutes.)
 *
 * The lock is a folder with a file for each process that holds it: the one that has taken it, and those which that one has started to
 * write there. No other lock has files of their names. A folder cannot be renamed to the name of another one that has files: so only one
 * process gets the lock, and it is complete at once. Whoever takes over from dead processes removes their files, and these cannot be
 * the files of anybody else.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {hostname} from 'node:os';
import {join} from 'node:path';
import {kindNames, kindOf, readFile} from './own_files';
import {isDead, thisProcess, type WritingProcess} from './writing_process';

/** The name of the lock in its folder. */
export const LOCK_NAME = '.lock';

/** A process that holds a lock. */
interface Holder extends WritingProcess {
  /** When it took the lock, as an ISO date. */
  since: string;
}

/** A folder is locked by a living process. */
export class FolderInUseError extends Error {}

/** A lock that this process holds. */
export interface FolderLock {
  /** False if the lock is gone, because the folder was removed, moved or replaced, or the lock in it. */
  isHeld(): boolean;
  /**
   * Has a process of this machine hold the lock as well: until that is dead, or what this returns is called, nobody else gets the lock,
   * even if this process is dead.
   */
  shareWith(pid: number): () => void;
  release(): void;
}

/**
 * Locks a folder that is there.
 *
 * @param owner What messages start with.
 * @throws as `checkUnlocked`.
 */
export function lockFolder(owner: string, folder: string): FolderLock {
  const lock = join(folder, LOCK_NAME);
  const name = crypto.randomUUID();
  const prepared = `${lock}.${name}`;
  filesOf(owner, lock); // throws for what is no lock
  const holder: Holder = {...thisProcess(hostname()), since: new Date().toISOString()};
  mkdirSync(prepared);
  try {
    writeFileSync(join(prepared, name), JSON.stringify(holder));
    while (!isRenamed(prepared, lock)) removeFiles(lock, deadFiles(owner, folder));
  } finally {
    rmSync(prepared, {recursive: true, force: true});
  }
  return {
    isHeld: () => existsSync(join(lock, name)),
    shareWith: (pid) => {
      const other = crypto.randomUUID();
      const time = new Date();
      const sharer: Holder = {
        ...holder,
        pid,
        processStart: time.getTime(),
        since: time.toISOString(),
      };
      writeFileSync(`${lock}.${other}`, JSON.stringify(sharer));
      // nobody reads a part of it
      renameSync(`${lock}.${other}`, join(lock, other));
      return () => removeFiles(lock, [other]);
    },
    release: () => removeFiles(lock, [name]),
  };
}

/**
 * @throws FolderInUseError if a living process, or one of another machine, has locked the folder; it says which, and since when. Error
 *   if what has the name of the lock is none, such as a link.
 */
export function checkUnlocked(owner: string, folder: string): void {
  deadFiles(owner, folder);
}

/** As `checkUnlocked`; returns the names of the files that dead processes have left in the lock. */
function deadFiles(owner: string, folder: string): string[] {
  const lock = join(folder, LOCK_NAME);
  const names = filesOf(owner, lock);
  for (const name of names) {
    const holder = readHolder(join(lock, name));
    if (holder === null || isDead(holder, thisProcess(hostname())) || hasEnded(holder)) continue;
    const {host, pid, since} = holder;
    const where = host === hostname() ? '' : ` on the machine '${host}'`;
    throw new FolderInUseError(
      `${owner}: the folder '${folder}' is in use by process ${pid}${where} since ${since}; wait for its end, or take ` +
        `another folder (if that process is no run of tfjs-owlore, remove '${lock}')`,
    );
  }
  return names;
}

/** False if there is a lock already. */
function isRenamed(prepared: string, lock: string): boolean {
  try {
    renameSync(prepared, lock);
    return true;
  } catch (error) {
    // what Windows says
    if (isCode(error, 'ENOTEMPTY', 'EEXIST', ...(process.platform === 'win32' ? ['EPERM'] : [])))
      return false;
    throw error;
  }
}

/** Of a file in a lock. */
const MAX_BYTES = 1e4;
/** The names of files in locks, which `crypto.randomUUID` has made. */
const FILE = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** The names of the files in a lock; none if there is no lock. Throws for what is none, of which nothing may be removed. */
function filesOf(owner: string, lock: string): string[] {
  const kind = kindOf(lock);
  if (kind === null) return [];
  const names = kind === 'folder' ? namesIn(lock) : [];
  const isOwn = (name: string): boolean =>
    FILE.test(name) && ['file', null].includes(kindOf(join(lock, name)));
  const stranger = names.find((name) => !isOwn(name));
  if (kind === 'folder' && stranger === undefined) return names;
  throw new Error(
    kind === 'folder'
      ? `${owner}: '${join(lock, stranger!)}' is of no lock, which '${lock}' would be; move it away`
      : `${owner}: '${lock}' is ${kindNames[kind]}, where the lock on the folder would be; remove it`,
  );
}

function namesIn(lock: string): string[] {
  try {
    return readdirSync(lock);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Removes files of a lock and, if there are no others, the lock; somebody else may have done it already. */
function removeFiles(lock: string, names: readonly string[]): void {
  for (const name of names) rmSync(join(lock, name), {force: true});
  try {
    rmdirSync(lock);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

/** Null if the file is gone, or was not written to the end because the machine went down. */
function readHolder(file: string): Holder | null {
  try {
    return JSON.parse(readFile(file, MAX_BYTES).toString('utf8')) as Holder;
  } catch (error) {
    if (isCode(error, 'ENOENT') || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Whether of a process of this machine its number alone is left, because nobody has asked how it ended; only Linux says so. */
function hasEnded({host, pid}: Holder): boolean {
  if (host !== hostname()) return false;
  try {
    // the state comes after the name, which may have any characters
    return /\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

function isCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '');
}
