/** Whether a run may begin in a folder, or go on in it. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmdirSync,
} from 'node:fs';
import {basename, dirname, join, resolve} from 'node:path';
import {checkUnlocked, LOCK_NAME} from '../files/folder_lock';
import {kindOf} from '../files/own_files';
import {cut} from '../common/options';
import {currentOf, filesOfRun, foreignIn, isDone, NAMES, survey, UNFINISHED} from './run_files';
import {asUsage, messageOf, UsageError} from './usage_error';
import {quoted} from './words';

/**
 * Checks that a run may write to `path`; leaves everything as it was.
 *
 * @param called What a message calls the option.
 * @throws UsageError if another run is writing there, if the folder is not empty and `overwrite` is false, if what would be
 *   overwritten is not an earlier run, or if nothing may be written there.
 */
export function checkRunFolder(called: string, path: string, overwrite: boolean): void {
  asUsage(() => checkUnlocked(called, path));
  checkReplaceable(called, path, overwrite);
  checkWritable(called, path);
}

/** The folder is made when model, data and scores are there, which takes minutes; this is known at once. */
function checkWritable(called: string, path: string): void {
  let place = resolve(path);
  const missing: string[] = [];
  for (; !existsSync(place); place = dirname(place)) missing.unshift(basename(place));
  const there = place;
  let what = 'may not be written to';
  try {
    accessSync(place, constants.W_OK);
    // there are places such as /proc that may be written to and take no folder
    for (const name of missing) {
      what = `cannot have a folder '${cut(name, 80)}'`;
      mkdirSync(join(place, name));
      place = join(place, name);
    }
  } catch (cause) {
    const {code} = cause as NodeJS.ErrnoException;
    throw new UsageError(
      `${called}: the folder '${place}' ${what} (${code}); take another one, or change its permissions`,
      {cause},
    );
  } finally {
    for (; place !== there; place = dirname(place)) rmdirSync(place);
  }
}

/** @throws UsageError unless the folder is empty, or has an earlier run that may be overwritten. */
export function checkReplaceable(called: string, path: string, overwrite: boolean): void {
  const entries = entriesOf(called, path);
  if (entries.length === 0) return;
  if (!overwrite) {
    throw new UsageError(
      hasStopped(path)
        ? `${called}: the folder '${path}' has a run that was stopped; finetune --resume ${quoted(path)} goes on with it, and --overwrite replaces it`
        : `${called}: the folder '${path}' is not empty; take another one, or --overwrite, which replaces an earlier run in it`,
    );
  }
  const replaced = Object.values(NAMES).filter((name) => entries.includes(name));
  if (replaced.length > 0 && !isRun(called, path)) {
    throw new UsageError(
      `${called}: the folder '${path}' has ${replaced.join(', ')}, but is not that of an earlier run, which would have its ` +
        `list of files in ${NAMES.list}; take another one`,
    );
  }
  checkOwn(called, path);
}

/** @throws UsageError if something in the folder has a name of a run's, and is not on the list of what the run has written. */
export function checkOwn(called: string, path: string): void {
  const [first, ...others] = seen(called, () => foreignIn(realpathSync(path)));
  if (!first) return;
  const more = others.length === 0 ? '' : `, as are ${others.length} more`;
  throw new UsageError(
    `${called}: '${join(path, first.path)}' is ${first.what} that is not of the run in '${path}'${more}; move it away, or take ` +
      'another folder',
  );
}

/**
 * Checks that the run in a folder can go on; changes nothing.
 *
 * @param called What a message calls the option.
 * @throws UsageError if another process is writing there, if the run is complete, or if nothing may be written there.
 */
export function checkResumable(called: string, path: string): void {
  asUsage(() => checkUnlocked(called, path));
  const current = currentOf(path);
  if (kindOf(join(current, NAMES.list)) === null && !isRun(called, current)) {
    throw new UsageError(
      `${called}: the folder '${path}' has no ${NAMES.list}, the list of what its run has written; name the folder as the run has left it`,
    );
  }
  checkOwn(called, path);
  checkNotComplete(called, path);
  checkWritable(called, path);
}

/** @throws UsageError if it is; one that only has to take the place of an earlier run is not. */
export function checkNotComplete(called: string, path: string): void {
  if (kindOf(join(path, UNFINISHED)) === 'folder' || !seen(called, () => isDone(path))) return;
  throw new UsageError(
    `${called}: the run in '${path}' has come to its end; there is nothing to go on with`,
  );
}

/** Whether a folder has a run that has not come to its end. */
export function hasStopped(path: string): boolean {
  try {
    return survey(realpathSync(path)).isRun && !isDone(path);
  } catch {
    return false; // another version's, or none that can be read
  }
}

function isRun(called: string, path: string): boolean {
  return seen(called, () => survey(realpathSync(path)).isRun);
}

/** What `look` sees in a folder; where it throws, as at the list of another version, nothing may be written there. */
function seen<T>(called: string, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    throw new UsageError(`${called}: ${messageOf(cause)}`, {cause});
  }
}

/** The names of what is in a folder, without locks; none if there is no such folder. */
function entriesOf(called: string, path: string): string[] {
  try {
    return readdirSync(path).filter((name) => !name.startsWith(LOCK_NAME));
  } catch (cause) {
    const {code, message} = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    const reason = code === 'ENOTDIR' ? 'is a file' : `cannot be read: ${message}`;
    throw new UsageError(`${called}: '${path}' ${reason}`, {cause});
  }
}

/**
 * The file with the options of the run that is to go on in a folder.
 *
 * @throws UsageError if there is none.
 */
export function configToResume(called: string, path: string): string {
  const {config} = filesOfRun(path);
  // a link might lead anywhere, and a pipe would be waited for
  if (kindOf(config) === 'file') return config;
  throw new UsageError(
    `${called}: the folder '${path}' has no ${NAMES.config}, as that of a run that was stopped has; name another one, or ` +
      'begin a run, with --output',
  );
}
