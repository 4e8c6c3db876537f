/** What a run does when its disk is full: it asks for another place, or waits for room. */
import {setTimeout as sleep} from 'node:timers/promises';
import type {Context} from './command';
import type {RunFolder} from './run_folder';
import {messageOf} from './usage_error';
import {quoted} from './words';

/** Errors of a full disk, and of a quota that is used up. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT'];

/** How long a run without a terminal waits for room, and how often it looks, in milliseconds. */
export const PATIENCE = {max: 600_000, pause: 10_000};

/** Whether an error is that of a full disk, or comes of one. */
export function isFullDisk(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if (FULL.includes((each as NodeJS.ErrnoException).code)) return true;
  return false;
}

/** An error of what writes to a folder: one of the system that names no file, as that of a full disk, then names the folder. */
export function errorIn(folder: string, error: unknown): unknown {
  if (!(error instanceof Error) || error.message.includes(folder)) return error;
  const {syscall, path} = (error.cause ?? error) as Partial<NodeJS.ErrnoException>;
  if (syscall === undefined || path !== undefined) return error;
  return new Error(`cannot write to the folder '${folder}': ${error.message}`, {cause: error});
}

/** Where a run saves something, and how it goes on elsewhere. */
export interface Saving {
  /** The folder of the run, as the user has named it. */
  path: string;
  /** Moves the run to another folder, in which it is saved from now on; throws if that cannot be. Null: it cannot be moved now. */
  move: ((folder: string) => void) | null;
}

/** How a run is saved in its folder. */
export function savingOf(folder: RunFolder, canMove = true): () => Saving {
  return () => ({path: folder.path, move: canMove ? (to) => folder.moveTo(to) : null});
}

/**
 * Saves something, again and again while the disk is full: on a terminal when the user has made room or named another place,
 * without one for ten minutes. A Ctrl-C ends the wait.
 *
 * @throws Error that names the place, if there is no room then; what `save` throws, if that is about anything else.
 */
export async function untilSaved<T>(
  saving: () => Saving,
  save: () => T | Promise<T>,
  {console, interruption, stdin}: Pick<Context, 'console' | 'interruption' | 'stdin'>,
  {max, pause}: typeof PATIENCE = PATIENCE,
): Promise<T> {
  const {signal} = interruption;
  // a run that is stopping saves itself before
  const stop = signal.aborted ? undefined : signal;
  let since: number | null = null;
  for (;;) {
    try {
      return await save();
    } catch (error) {
      const {path, move} = saving();
      const named = errorIn(path, error);
      if (!isFullDisk(error) || stop?.aborted) throw named;
      const message = messageOf(named);
      const goOn = `the run goes on by finetune --resume ${quoted(path)}`;
      if (console.canAsk(stdin)) {
        const what = move ? ', or type the path of another folder for the run' : '';
        console.note(`${message}. Make room and press Enter${what}; Ctrl-D ends the run`);
        const answer = await console.ask(stdin, stop);
        if (answer === null) throw new Error(`${message}; ${goOn}`, {cause: error});
        if (answer === '' || !move) continue;
        try {
          move(answer);
        } catch (cause) {
          console.note(messageOf(cause));
        }
        continue;
      }
      if (since === null) {
        console.note(`${message}; waiting for room, for ten minutes at most`);
        since = performance.now();
      }
      if (performance.now() - since >= max) {
        throw new Error(`${message}; there was no room for ten minutes, ${goOn}`, {cause: error});
      }
      await sleep(pause, undefined, {signal: stop}).catch(() => undefined);
    }
  }
}
