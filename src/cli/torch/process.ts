/** The processes of Python, which torchrun starts, and what the first of them tells and is told. */
import {closeSync, existsSync, readFileSync, statSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import type {Readable, Writable} from 'node:stream';
import {MAX_JSON_BYTES} from '../../files/json';
import {openToAppend} from '../../files/own_files';
import {cut} from '../../common/options';
import {startProgram, type ChildProcess, type Program} from '../start_program';
import {messageOf} from '../usage_error';
import {counted} from '../words';
import {eventIn, type TorchAnswer, type TorchEvent} from './events';
import {causeIn} from './failure';
import {pythonEnvironment, pythonFile} from './python';

/** How Python is started. */
export interface TorchCommand {
  python: Program;
  processes: number;
  /** The path of job.json. */
  job: string;
  /** The file for what it says on stderr. */
  log: string;
  /** Called with the number of the process that is started; what it returns is called when that has ended. */
  hold: (pid: number) => () => void;
  /**
   * Milliseconds without a word after which Python counts as hanging. Default 15 minutes: torchrun waits for other machines for ten, and
   * then finetune.py says every five seconds that it lives.
   */
  silence?: number;
}

type Child = ChildProcess & {stdin: Writable; stdout: Readable};

const SILENCE = 15 * 60_000;

/** Milliseconds that torchrun has to end its processes: after 30 s it kills them. */
const GRACE = 40_000;

/**
 * Runs a job to its end; gives one event after the other, and tells Python what the caller answers to one. If the caller stops taking
 * them, or this process ends, so do those of Python. They have ended when this has.
 *
 * @throws Error with what Python said, if it fails, sends what is no event, or says nothing for a long time.
 */
export async function* runTorch(
  command: TorchCommand,
): AsyncGenerator<TorchEvent, void, TorchAnswer | undefined> {
  const {log, hold, silence = SILENCE} = command;
  // what was said before is of the same run when it stopped
  const from = existsSync(log) ? statSync(log).size : 0;
  const child = start(command);
  const ended = endOf(child);
  // how Python has ended says more
  child.stdin.on('error', () => undefined);
  // torchrun ends what it has started, if it is told to end
  const kill = (): boolean => child.kill('SIGTERM');
  process.once('exit', kill);
  const release = child.pid === undefined ? undefined : hold(child.pid);
  try {
    const chunks = child.stdout.setEncoding('utf8').iterator() as AsyncIterator<string, undefined>;
    let rest = '';
    for (;;) {
      const {done, value = ''} = await inTime(chunks.next(), silence);
      const lines = (rest + value).split('\n');
      rest = done ? '' : lines.pop()!;
      // a process that has ended may have been in the middle of a line
      const how = done ? await inTime(ended, silence) : null;
      if (how !== null) throw new Error(causeIn(linesOf(log, from)) ?? `Python ended with ${how}`);
      for (const line of lines) {
        if (!line.startsWith('{')) continue;
        const answer = yield eventIn(line);
        if (answer) child.stdin.write(`${JSON.stringify(answer)}\n`);
      }
      if (done) return;
      if (rest.length > MAX_JSON_BYTES)
        throw new Error('finetune.py has sent a line without an end');
    }
  } catch (error) {
    const message = cut(messageOf(error));
    throw new Error(`--engine torch: ${message} (${log} has all that Python said)`, {cause: error});
  } finally {
    kill();
    child.stdin.destroy();
    child.stdout.destroy();
    const isOver = (): Promise<boolean> =>
      inTime(ended, GRACE).then(
        () => true,
        () => false,
      );
    // in vain if the machine is waiting for a disk: then the process keeps what it holds
    if ((await isOver()) || (child.kill('SIGKILL') && (await isOver()))) release?.();
    process.off('exit', kill);
  }
}

/** Looks at a clock in the time that something may take: a machine that sleeps delays one of them, and not all. */
const LOOKS = 10;

/** What a promise resolves to. @throws if that takes longer. */
function inTime<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let looks = 0;
    const timer = setInterval(() => {
      if (++looks < LOOKS) return;
      clearInterval(timer);
      const minutes = counted(Math.round(milliseconds / 60_000), 'minute');
      reject(
        new Error(`Python has said nothing for ${minutes}, not even that it lives, and was ended`),
      );
    }, milliseconds / LOOKS);
    void promise.then(resolve, reject).finally(() => clearInterval(timer));
  });
}

function start({python, processes, job, log}: TorchCommand): Child {
  const environment = pythonEnvironment();
  // torchrun reads its options from such variables as well; with them it may be one of several machines
  const isAlone = environment['PET_NNODES'] === undefined;
  const threads = Math.max(1, Math.floor(availableParallelism() / processes));
  const file = openToAppend(log);
  try {
    return startProgram(
      python,
      [
        ...[pythonFile('launch.py'), ...(isAlone ? ['--standalone'] : [])],
        ...['--nproc-per-node', String(processes), pythonFile('finetune.py'), job],
      ],
      {
        // a group of its own: the terminal's Ctrl-C would end it at once, and the command says when it is to stop
        detached: true,
        // the first ends with this process, and so does launch.py
        stdio: ['pipe', 'pipe', file],
        // torchrun gives each process one thread, if nobody says more
        env: {OMP_NUM_THREADS: String(threads), ...environment},
      },
    ) as Child;
  } finally {
    closeSync(file);
  }
}

/** How a process ends: null if well. */
function endOf(child: Child): Promise<string | null> {
  return new Promise((resolve) => {
    child.once('error', ({message}) => resolve(message));
    child.once('exit', (code, signal) =>
      resolve(code === 0 ? null : (signal ?? `exit code ${code}`)),
    );
  });
}

/** The lines of a file from a byte on. */
function linesOf(file: string, from: number): string[] {
  return readFileSync(file).subarray(from).toString('utf8').split('\n');
}
