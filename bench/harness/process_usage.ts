/** Processor time and memory of another process, on Linux. */
import {existsSync, readdirSync, readFileSync} from 'node:fs';

/** `/proc` gives processor time in hundredths of a second, on all platforms of Linux. */
const MILLISECONDS_PER_TICK = 10;

/** Processor time of all threads of a process until now, and of the processes that it has started; NaN where there is no `/proc`. */
export function cpuMilliseconds(pid: number): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return NaN;
  // The second field is the name in parentheses, which may hold anything; 14 is user time, 15 system time.
  const afterName = readFileSync(file, 'utf8').split(') ').at(-1)!.split(' ');
  const own = (Number(afterName[14 - 3]) + Number(afterName[15 - 3])) * MILLISECONDS_PER_TICK;
  return childrenOf(pid).reduce((sum, child) => sum + (cpuMilliseconds(child) || 0), own);
}

function childrenOf(pid: number): number[] {
  const threads = `/proc/${pid}/task/`;
  return readdirSync(threads).flatMap((thread) => {
    const file = `${threads}${thread}/children`;
    return existsSync(file) ? (readFileSync(file, 'utf8').match(/\d+/g)?.map(Number) ?? []) : [];
  });
}

/** The most resident memory that a process has had, in bytes; undefined where there is no `/proc`. */
export function peakResidentBytes(pid: number): number | undefined {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return undefined;
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(file, 'utf8'));
  return match ? Number(match[1]) * 1024 : undefined;
}
