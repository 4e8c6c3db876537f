/** How many threads the wasm kernels compute on. */
import {checkNumber} from '../../common/options';

/** The most by default: products of the usual sizes gain little from more. */
const MAX_THREADS = 8;

/** How many can be asked for. */
export const threadRange = {min: 1, max: 64, integer: true};

let chosen: number | undefined;

/**
 * Says on how many threads the wasm kernels compute, in all backends that are made from then on; 1 turns threads off. Results are the same
 * bits with any number. On other backends it changes nothing.
 *
 * Default: the environment variable `OWLORE_THREADS`, or the processors that the process may use (its affinity and the quota of its
 * cgroup; on a page's main thread one less), at most 8.
 *
 * @throws Error unless it is an integer from 1 to 64.
 */
export function setThreads(threads: number): void {
  checkNumber('setThreads', 'threads', threads, threadRange);
  chosen = threads;
}

/** The number of threads, with the one that calls. */
export function threadCount(): number {
  return chosen ?? environmentThreads() ?? Math.max(1, Math.min(MAX_THREADS, processors()));
}

/** Whether this engine lets workers share memory; a page has to be cross-origin isolated. */
export function canShareMemory(): boolean {
  const {SharedArrayBuffer, crossOriginIsolated = true} = globalThis as Partial<typeof globalThis>;
  return SharedArrayBuffer !== undefined && crossOriginIsolated;
}

/** Whether this thread may sleep until another one wakes it; a page's main thread may not. */
export function canSleep(): boolean {
  return typeof window === 'undefined';
}

function environmentThreads(): number | undefined {
  const text = globalThis.process?.env?.['OWLORE_THREADS'];
  if (!text) return undefined;
  const threads = Number(text);
  checkNumber('OWLORE_THREADS', 'the environment variable', threads, threadRange);
  return threads;
}

function processors(): number {
  const os = globalThis.process?.getBuiltinModule?.('node:os');
  if (os) return Math.min(os.availableParallelism(), quota());
  const {hardwareConcurrency} = navigator;
  return canSleep() ? hardwareConcurrency : hardwareConcurrency - 1;
}

/** The processors that a container's quota is worth, of which `availableParallelism` of Node 20 does not know. */
function quota(): number {
  try {
    const {readFileSync} = process.getBuiltinModule('node:fs');
    const [time, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').split(' ').map(Number);
    return time! > 0 ? Math.max(1, Math.floor(time! / period!)) : Infinity;
  } catch {
    return Infinity; // no cgroup, or none of version 2
  }
}
