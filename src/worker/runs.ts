/** Training runs in the browser's storage, as a page sees them. */
import {browserStorage} from '../files/browser_storage';
import type {DirectoryHandle} from '../files/directory_handle';
import {isNamed, namesIn, unlessNotFound} from '../files/handle_files';
import {lockManager} from '../files/page_locks';
import {asBadOption, FineTuningError} from './errors';
import type {HistoryEntry} from './events';
import {checkRunName} from './run_name';

/** A run in the browser's storage. */
export interface RunSummary {
  name: string;
  /** What was fine-tuned: a name on the Hub, a URL, or the names of the files. */
  model: string;
  /** Names of the files of examples. */
  data: string;
  method: string;
  /** Steps until the newest checkpoint. */
  step: number;
  /** Of the whole run. */
  steps: number;
  /** Of the last of these steps; null if there was none. */
  loss: number | null;
  /** The last held-out loss; null if there was none. */
  heldOut: number | null;
  /** That its files take. */
  bytes: number;
  /** When it was last written to, in milliseconds since 1970. */
  changed: number;
  /**
   * `'running'`: a tab has it; `'paused'`, `'stopped'`: by `pause()` and `stop()` of its training; `'interrupted'`: it
   * failed, or its tab was closed; `'done'`: it has made all its steps.
   */
  state: 'running' | Rest | 'interrupted' | 'done';
}

/** How a run was told to rest. */
export type Rest = 'paused' | 'stopped';

/** What `run.json` says. It is written when all that a run needs to go on is there, and not again. */
export interface RunFile {
  version: 1;
  /** The options that were given, and what follows from them, as JSON. */
  settings: Record<string, unknown>;
  /** Where the model is: a name or a URL; null: in the run's own folder. */
  model: string | null;
  /** Names of the model's files there, in their order. */
  modelFiles: string[];
  /** Names of the files of examples, in their order. */
  data: string[];
  method: string;
  steps: number;
  /** What the blocks were scored by; null where they were not. */
  scores: number[] | null;
}

/**
 * What `progress.json` says, which is written after each checkpoint, when more was measured at its step, when the run rests or goes on, and
 * when its rate is set while it rests.
 */
export interface RunProgress {
  /** Of the checkpoint. */
  step: number;
  loss: number | null;
  heldOut: number | null;
  /** What was said at this step after the checkpoint, such as a rate that was set; runs of earlier versions have none. */
  since?: HistoryEntry[];
  /** Null while it trains, and in runs of earlier versions. */
  rest?: Rest | null;
  changed: number;
}

export const RUN_FILE = 'run.json';
export const PROGRESS_FILE = 'progress.json';

/** The folder of all runs. */
export async function runsFolder(): Promise<DirectoryHandle> {
  try {
    return await (await browserStorage()).getDirectoryHandle('runs', {create: true});
  } catch (cause) {
    if (isNamed(cause, 'QuotaExceededError'))
      throw new FineTuningError('storage-full', "the browser's storage has no room for a run", {
        cause,
      });
    throw new FineTuningError(
      'failed',
      `the browser gives this page no storage (${(cause as Error).message}); with run: null nothing is kept`,
      {cause},
    );
  }
}

/** The name of the lock that whoever trains a run holds. */
export function lockName(run: string): string {
  return `tfjs-owlore run ${run}`;
}

/** Names of the locks of runs that some tab has. */
async function heldRuns(): Promise<Set<string>> {
  const {held = []} = (await lockManager()?.query()) ?? {};
  return new Set(held.map(({name}) => name ?? ''));
}

/**
 * Removes a run while nobody can begin or open it.
 *
 * @param mayGo Asked then. Default: it may.
 * @returns false if a tab has it.
 */
async function removeUnlessHeld(
  name: string,
  mayGo: () => Promise<boolean> = async () => true,
): Promise<boolean> {
  const remove = async (): Promise<true> => {
    const runs = await runsFolder();
    if (await mayGo()) await unlessNotFound(runs.removeEntry(name, {recursive: true}));
    return true;
  };
  const locks = lockManager();
  if (!locks) return remove();
  return locks.request(lockName(name), {ifAvailable: true}, (lock) => lock !== null && remove());
}

/** A JSON file of a folder; null if there is none, or it was cut off. */
export async function readJsonFile<T>(folder: DirectoryHandle, name: string): Promise<T | null> {
  const file = await unlessNotFound(folder.getFileHandle(name));
  if (!file) return null;
  try {
    return JSON.parse(await (await file.getFile()).text()) as T;
  } catch {
    return null;
  }
}

/** What a run was begun with; null if there is none of this name, or it has not begun. */
export async function readRunFile(run: DirectoryHandle | null): Promise<RunFile | null> {
  return run && readJsonFile<RunFile>(run, RUN_FILE);
}

/** Lists the runs in the browser's storage, that which was written to last first. What is left of runs that never began is removed. */
export async function listRuns(): Promise<RunSummary[]> {
  const folder = await runsFolder();
  const held = await heldRuns();
  const runs: RunSummary[] = [];
  for (const name of await namesIn(folder)) {
    const run = await unlessNotFound(folder.getDirectoryHandle(name));
    if (!run) continue;
    const isHeld = held.has(lockName(name));
    const file = await readRunFile(run);
    if (!file) {
      // one that a tab begins meanwhile stays
      await removeUnlessHeld(name, async () => (await readRunFile(run)) === null);
      continue;
    }
    const progress = await readJsonFile<RunProgress>(run, PROGRESS_FILE);
    const {step = 0, loss = null, heldOut = null, rest = null, changed = 0} = progress ?? {};
    const {data, method, steps} = file;
    runs.push({
      ...{name, data: data.join(', '), method, step, steps, loss, heldOut, changed},
      model: file.model ?? file.modelFiles.join(', '),
      bytes: await bytesIn(run),
      state: isHeld ? 'running' : step >= steps ? 'done' : (rest ?? 'interrupted'),
    });
  }
  return runs.sort((a, b) => b.changed - a.changed);
}

/**
 * Removes a run from the browser's storage, with its checkpoints and the files that were saved of it. One that is not there is none.
 *
 * @throws FineTuningError if a tab trains it, or no run can have this name.
 */
export async function deleteRun(name: string): Promise<void> {
  asBadOption(() => checkRunName('deleteRun', name));
  if (await removeUnlessHeld(name)) return;
  throw new FineTuningError(
    'in-use',
    `deleteRun: the run '${name}' is open in this tab or another one; close it there first`,
  );
}

/** The bytes of all files in a folder. */
async function bytesIn(folder: DirectoryHandle): Promise<number> {
  let bytes = 0;
  for (const name of await namesIn(folder)) {
    try {
      const file = await unlessNotFound(folder.getFileHandle(name));
      bytes += (await (file && unlessNotFound(file.getFile())))?.size ?? 0;
    } catch (error) {
      if (!isNamed(error, 'TypeMismatchError')) throw error;
      bytes += await bytesIn(await folder.getDirectoryHandle(name));
    }
  }
  return bytes;
}
