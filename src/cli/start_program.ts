/**
 * The one place where other programs are started: what names them is a {@link Program}, and no text of a file can be one. A test holds
 * all of `src` to that.
 */
import {execFile, spawn, spawnSync, type ChildProcess, type SpawnOptions} from 'node:child_process';

export type {ChildProcess};

/** The path of a program, or its name in PATH, that the user has named, or that this library knows: never one of a file. */
export type Program = string & {readonly isProgram: never};

/** The Node that runs this. */
export const ownNode = process.execPath as Program;

/** What `python3` is called here. */
export const defaultPython = (process.platform === 'win32' ? 'python' : 'python3') as Program;

/** Starts a program, and does not wait for it. */
export function startProgram(
  program: Program,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  return spawn(program, args, options);
}

/** What a program has said when it ended. */
export interface Ended {
  error: (Error & {code?: unknown; killed?: boolean}) | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. It is ended with this process, and after so many milliseconds: then its error is `killed`. */
export function runToEnd(
  program: Program,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  timeout: number,
): Promise<Ended> {
  return new Promise((resolve) => {
    const limits = {timeout, killSignal: 'SIGKILL'} as const;
    const child = execFile(program, args, {env, ...limits}, (error, stdout, stderr) => {
      process.off('exit', kill);
      resolve({error, stdout, stderr});
    });
    const kill = (): boolean => child.kill('SIGKILL');
    process.once('exit', kill);
  });
}

/** Whether a program ends well within so many milliseconds, which are waited for. */
export function endsWell(program: Program, args: readonly string[], timeout: number): boolean {
  return spawnSync(program, args, {stdio: 'ignore', timeout}).status === 0;
}
