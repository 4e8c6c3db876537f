import type {ChildProcess} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {startProgram, type ProgramOptions, type ProgramResult} from '../support/programs';

/** Starts the command line. */
export function start(args: readonly string[], options?: ProgramOptions): ChildProcess {
  return startProgram('src/cli/main', args, options);
}

/**
 * Waits until the log of a run has a text.
 *
 * @param closed The end of the run's process.
 * @throws if it has ended without.
 */
export async function inLog(
  closed: Promise<ProgramResult>,
  folder: string,
  text: string,
): Promise<void> {
  const log = join(folder, 'log.jsonl');
  let end: ProgramResult | undefined;
  void closed.then((result) => (end = result));
  for (;;) {
    const last = end;
    if (existsSync(log) && readFileSync(log, 'utf8').includes(text)) return;
    if (last) {
      const {code, signal, stderr} = last;
      throw new Error(`ended with ${code ?? signal} before ${log} had ${text}:\n${stderr}`);
    }
    await sleep(20);
  }
}
