/** What Linux tells of another process; nothing elsewhere. */
import {existsSync, readFileSync} from 'node:fs';

/** Linux counts processor time in hundredths of a second for whoever asks by `/proc`, on all its platforms. */
const MILLISECONDS_PER_TICK = 10;

/** Processor time of all its threads until now; NaN where the system does not tell. */
export function cpuMilliseconds(pid: number): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return NaN;
  // The second field is the name in parentheses, which may hold anything; 14 is user time, 15 system time.
  const afterName = readFileSync(file, 'utf8').split(') ').at(-1)!.split(' ');
  return (Number(afterName[14 - 3]) + Number(afterName[15 - 3])) * MILLISECONDS_PER_TICK;
}

/** The most memory that it has had, in bytes; undefined where the system does not tell. */
export function peakResidentBytes(pid: number): number | undefined {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return undefined;
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(file, 'utf8'));
  return match ? Number(match[1]) * 1024 : undefined;
}
