import {spawn, type ChildProcess, type StdioOptions} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {CliRun} from './run_cli';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Starts the command line, or another program of this repository, in a process of its own. */
export function start(
  args: readonly string[],
  {program = 'src/cli/main.ts', stdio = 'pipe'}: {program?: string; stdio?: StdioOptions} = {},
): ChildProcess {
  // Coverage counts what the tests themselves run.
  const env: NodeJS.ProcessEnv = {...process.env, NODE_V8_COVERAGE: ''};
  delete env['DEBUG'];
  return spawn(process.execPath, ['--import', 'tsx', program, ...args], {cwd: root, env, stdio});
}

/** What it leaves behind. */
export function resultOf(child: ChildProcess): Promise<CliRun & {signal: string | null}> {
  const result = {stdout: '', stderr: ''};
  child.stdout?.on('data', (text: Buffer) => (result.stdout += text.toString()));
  child.stderr?.on('data', (text: Buffer) => (result.stderr += text.toString()));
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({...result, code: code!, signal}));
  });
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
