import type {ChildProcess} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {startProgram, type ProgramOptions} from '../support/programs';

/** Starts the command line. */
export function start(args: readonly string[], options?: ProgramOptions): ChildProcess {
  return startProgram('src/cli/main', args, options);
}

/** Resolves when the log of a run has a text. */
export function inLog(folder: string, text: string): Promise<void> {
  const log = join(folder, 'log.jsonl');
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!existsSync(log) || !readFileSync(log, 'utf8').includes(text)) return;
      clearInterval(timer);
      resolve();
    }, 20);
  });
}
