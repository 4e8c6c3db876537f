/** Which process writes to a folder, and whether it still runs; only in Node. */

/** A process, as it is known to others. */
export interface WritingProcess {
  host: string;
  pid: number;
  /** When it began, in milliseconds: tells it from an earlier process with the same number, as in a container that was started again. */
  processStart: number;
}

/** @param host The name of this machine, in the form in which the others' is. */
export function thisProcess(host: string): WritingProcess {
  return {host, pid: process.pid, processStart: Math.round(performance.timeOrigin)};
}

/** Whether a process is one of this machine and does not run any more. */
export function isDead({host, pid, processStart}: WritingProcess, own: WritingProcess): boolean {
  if (host !== own.host) return false;
  if (pid === own.pid) return processStart !== own.processStart;
  try {
    process.kill(pid, 0); // sends nothing
    return false;
  } catch (error) {
    // EPERM: it lives, and belongs to another user
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
