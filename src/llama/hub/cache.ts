/**
 * The cache of a model's files, as Python's huggingface_hub has it, so that each reads what the other has downloaded:
 *
 * ```
 * models--owner--name/refs/main                   the commit of a branch or tag
 * models--owner--name/snapshots/COMMIT/FILE       a link to the file's content
 * models--owner--name/blobs/HASH                  the content, under its SHA-256 or git's SHA-1
 * ```
 */
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {mkdir, rename, rm, stat, symlink, writeFile} from 'node:fs/promises';
import {dirname, join, relative} from 'node:path';
import {unlessMissing} from '../../files/unless_missing';

const COMMIT = /^[\da-f]{40}$/;

export class ModelCache {
  /** The model's folder. */
  readonly folder: string;

  /** @param cache The folder of all models. */
  constructor(
    readonly cache: string,
    readonly id: string,
  ) {
    this.folder = join(cache, folderNameOf(id));
  }

  /** The folder in which a download takes the lock on this model, out of the way of those who read the cache. */
  get locks(): string {
    return join(this.cache, '.locks', folderNameOf(this.id));
  }

  /** Where the files of a commit are. */
  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** Where a content is when all of it is there. */
  blob(hash: string): string {
    return join(this.folder, 'blobs', hash);
  }

  /** The commit that a revision was when it was last asked for; null if the cache does not know. */
  commitOf(revision: string): string | null {
    const file = join(this.folder, 'refs', revision);
    const commit = COMMIT.test(revision) ? revision : readIfThere(file)?.trim();
    return commit !== undefined && existsSync(this.snapshot(commit)) ? commit : null;
  }

  /** Notes the commit of a branch or tag. */
  async writeRef(revision: string, commit: string): Promise<void> {
    const file = join(this.folder, 'refs', revision);
    if (COMMIT.test(revision) || readIfThere(file) === commit) return;
    await mkdir(dirname(file), {recursive: true});
    const partial = `${file}.${crypto.randomUUID()}.partial`;
    await writeFile(partial, commit);
    await rename(partial, file);
  }

  /** Whether a file of a commit is there and has this size. */
  async has(commit: string, path: string, size: number): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(commit), path))) === size;
  }

  /** Puts a content, which is there, in the place of a file of a commit. */
  async link(commit: string, path: string, hash: string): Promise<void> {
    const place = join(this.snapshot(commit), path);
    await mkdir(dirname(place), {recursive: true});
    await rm(place, {force: true});
    try {
      await symlink(relative(dirname(place), this.blob(hash)), place);
    } catch (error) {
      // Windows allows links to some users only
      if (!['EPERM', 'ENOSYS', 'ENOTSUP'].includes(codeOf(error))) throw error;
      await rename(this.blob(hash), place);
    }
  }

  /** The revisions that the cache has, as in `main` or the start of a commit. */
  revisions(): string[] {
    const branches = namesIn(join(this.folder, 'refs')).filter(
      (name) => this.commitOf(name) !== null,
    );
    const named = branches.map((name) => this.commitOf(name));
    const others = namesIn(join(this.folder, 'snapshots')).filter((name) => !named.includes(name));
    return [...branches, ...others];
  }
}

/** The models of which a cache has files, by name. A download that ended before its first file leaves a folder without any. */
export function cachedModels(cache: string): string[] {
  return namesIn(cache).flatMap((name) => {
    const [, id] = /^models--(.+)$/.exec(name) ?? [];
    const isEmpty = namesIn(join(cache, name, 'snapshots')).length === 0;
    return id === undefined || isEmpty ? [] : [id.replace('--', '/')];
  });
}

/** In bytes; null if there is no such file. */
export async function sizeOf(path: string): Promise<number | null> {
  return (await unlessMissing(stat(path)))?.size ?? null;
}

/**
 * Runs `body`, which writes to the cache; an error of the system, such as that of a full disk, says what to do.
 *
 * @param what What is written.
 */
export async function writingTo<T>(
  owner: string,
  cache: string,
  what: string,
  body: () => T | Promise<T>,
): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (codeOf(error) === '') throw error;
    throw new Error(
      `${owner}: ${what} cannot be written to the cache '${cache}': ${(error as Error).message}; make room or let it be ` +
        'written to, or name the folder of another cache by the environment variable HF_HUB_CACHE. What has come stays, ' +
        'and the next download goes on with it',
      {cause: error},
    );
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

function folderNameOf(id: string): string {
  return `models--${id.replace('/', '--')}`;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error))) return undefined;
    throw error;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return [];
    throw error;
  }
}
