import {spawn, type ChildProcessByStdio} from 'node:child_process';
import {createInterface} from 'node:readline';
import type {Readable, Writable} from 'node:stream';
import {cpuMilliseconds, peakResidentBytes} from './process_usage';
import type {Reply, Request} from './protocol';

/** A training that is compared with others. */
export interface ContenderOptions {
  /** As the tables call it. */
  title: string;
  command: string;
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Steps of the warm-up, which are not measured. */
  warmUp: number;
  /** Steps in each round, one after the other. */
  steps: number;
}

export interface Step {
  loss: number;
  milliseconds: number;
  /** Milliseconds of processor time, of all threads; NaN where the system does not tell. */
  cpu: number;
}

/** The most bytes at once, until now. */
export interface PeakMemory {
  /** Of the process, all of it; undefined where the system does not tell. */
  resident: number | undefined;
  /** Of its wasm memory. */
  wasm: number | undefined;
  /** Of its tensors, counted by `src/memory/meter.ts`. */
  tensors: number | undefined;
}

/** A contender cannot run, because this machine lacks something. */
export class AbsentError extends Error {}

/** A training in a process of its own, so that heaps, thread pools and compilers do not mix. */
export class Contender {
  about: {parameters: number; versions: Record<string, string>} = {parameters: 0, versions: {}};
  private readonly replies: AsyncIterator<string>;
  /** The end of what the process wrote to standard error. */
  private complaints = '';
  /** Whether there is no such command. */
  private isAbsent = false;

  private constructor(
    readonly options: ContenderOptions,
    private readonly child: ChildProcessByStdio<Writable, Readable, Readable>,
  ) {
    this.replies = createInterface({input: child.stdout})[Symbol.asyncIterator]();
    child.stderr.on('data', (text: Buffer) => {
      this.complaints = (this.complaints + text.toString()).slice(-2000);
    });
    // Its standard output ends, then, and the next reply fails.
    child.on('error', ({message, code}: NodeJS.ErrnoException) => {
      this.complaints += message;
      this.isAbsent = code === 'ENOENT';
    });
    child.stdin.on('error', () => undefined);
  }

  /**
   * Resolves when it is ready for its first step.
   *
   * @throws AbsentError if this machine lacks its command, or something else as it says; an Error with what it wrote if it fails otherwise.
   */
  static async start(options: ContenderOptions): Promise<Contender> {
    const {command, args, env} = options;
    const child = spawn(command, args, {
      env: {...process.env, ...env},
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const contender = new Contender(options, child);
    try {
      const reply = await contender.reply();
      if (reply.kind === 'absent') throw new AbsentError(`${options.title}: needs ${reply.needs}`);
      if (reply.kind !== 'ready') throw new Error(`${options.title}: replied ${reply.kind}`);
      contender.about = {parameters: reply.parameters, versions: reply.versions};
    } catch (error) {
      contender.end();
      throw error;
    }
    return contender;
  }

  /** @throws if the process ends instead. */
  async step(): Promise<Step> {
    const before = this.cpuMilliseconds();
    const {loss, milliseconds} = await this.ask('step');
    return {loss, milliseconds, cpu: this.cpuMilliseconds() - before};
  }

  async peakMemory(): Promise<PeakMemory> {
    const {wasm, tensors} = await this.ask('memory');
    return {resident: peakResidentBytes(this.child.pid!), wasm, tensors};
  }

  /** Processor time of all its threads until now; NaN where the system does not tell. */
  cpuMilliseconds(): number {
    return cpuMilliseconds(this.child.pid!);
  }

  /** Ends the process. */
  end(): void {
    this.child.stdin.end();
    this.child.kill();
  }

  private async ask<Kind extends Request>(request: Kind): Promise<Reply & {kind: Kind}> {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    const reply = await this.reply();
    if (reply.kind !== request) {
      throw new Error(`${this.options.title}: asked for ${request}, replied ${reply.kind}`);
    }
    return reply as Reply & {kind: Kind};
  }

  private async reply(): Promise<Reply> {
    const line = await this.replies.next();
    const {title, command} = this.options;
    if (line.done && this.isAbsent) throw new AbsentError(`${title}: needs the command ${command}`);
    if (line.done) throw new Error(`${title}: it ended\n${this.complaints.trim()}`);
    return JSON.parse(line.value) as Reply;
  }
}
