/** The processes of Python, which torchrun starts, and what the first of them tells. */
import {closeSync, existsSync, readFileSync, statSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {createInterface} from 'node:readline';
import type {Manifest} from '../../checkpoint/manifest';
import {parseJsonObject} from '../../files/json';
import {openToAppend} from '../../files/own_files';
import {cut} from '../../options';
import {startProgram, type ChildProcess, type Program} from '../start_program';
import type {HeldOutEntry, StepEntry} from '../training_monitor';
import {pythonEnvironment, pythonFile} from './python';

/** What Python tells. */
export type TorchEvent =
  | {
      event: 'begin';
      torch: string;
      processes: number;
      parallel: string;
      backend: string | null;
      device: string;
    }
  | (StepEntry & {stateBytes: number})
  | HeldOutEntry
  | {
      event: 'checkpoint';
      step: number;
      model: Manifest['model'];
      optimizer: Omit<Manifest['optimizer'], 'settings'>;
      stateBytes: number;
    }
  | {event: 'stopped'; step: number}
  | {event: 'done'; model: Manifest['model']; skipped: number};

/** How Python is started. */
export interface TorchCommand {
  python: Program;
  processes: number;
  /** The path of job.json. */
  job: string;
  /** The file for what it says on stderr. */
  log: string;
}

/**
 * Runs a job to its end; gives one event after the other, and Python does not wait until they are taken. If the caller stops taking
 * them, or this process ends, so do those of Python.
 *
 * @throws Error with what Python said, if it fails.
 */
export async function* runTorch(command: TorchCommand): AsyncGenerator<TorchEvent, void> {
  // what was said before is of the same run when it stopped
  const from = existsSync(command.log) ? statSync(command.log).size : 0;
  const child = start(command);
  const ended = endOf(child);
  // torchrun ends what it has started, if it is told to end
  const kill = (): boolean => child.kill('SIGTERM');
  process.once('exit', kill);
  try {
    for await (const line of createInterface({input: child.stdout!})) {
      if (line.startsWith('{')) yield eventIn(line);
    }
    const how = await ended;
    if (how !== null) throw failure(how, command.log, from);
  } finally {
    kill();
    process.off('exit', kill);
  }
}

function start({python, processes, job, log}: TorchCommand): ChildProcess {
  const environment = pythonEnvironment();
  // torchrun reads its options from such variables as well; with them it may be one of several machines
  const isAlone = environment['PET_NNODES'] === undefined;
  const threads = Math.max(1, Math.floor(availableParallelism() / processes));
  const file = openToAppend(log);
  try {
    return startProgram(
      python,
      [
        ...['-m', 'torch.distributed.run', ...(isAlone ? ['--standalone'] : [])],
        ...['--nproc-per-node', String(processes), pythonFile('finetune.py'), job],
      ],
      {
        // a group of its own: the terminal's Ctrl-C would end it at once, and the command says when it is to stop
        detached: true,
        stdio: ['ignore', 'pipe', file],
        // torchrun gives each process one thread, if nobody says more
        env: {OMP_NUM_THREADS: String(threads), ...environment},
      },
    );
  } finally {
    closeSync(file);
  }
}

/** How a process ends: null if well. */
function endOf(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    child.once('error', ({message}) => resolve(message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? null : (signal ?? `exit code ${code}`)),
    );
  });
}

function eventIn(line: string): TorchEvent {
  const event = parseJsonObject('finetune.py', new TextEncoder().encode(line));
  // An event has the fields that python/owlore gives it, which is of the same version as this package.
  if (typeof event['event'] === 'string') return event as unknown as TorchEvent;
  throw new Error(`finetune.py has sent what is no event: ${cut(line)}`);
}

/**
 * The error of a job that has failed: what the process that failed says itself, or else how Python ended.
 *
 * @param from Where in the log its part begins.
 */
function failure(how: string, log: string, from: number): Error {
  const lines = readFileSync(log).subarray(from).toString('utf8').split('\n');
  // others may fail after the first one, and by it
  const own = lines.find((line) => line.startsWith('error: '))?.slice('error: '.length);
  // torchrun says last which one it was that others failed by
  const killed = lines
    .filter((line) => /Signal \d+ \(SIG\w+\) received/.test(line))
    .at(-1)
    ?.trim();
  return new Error(
    `--engine torch: ${cut(own ?? killed ?? `Python ended with ${how}`)} (${log} has all that Python said)`,
  );
}
