/** Workers that run functions of the SIMD module over the memory of a backend, beside the thread that calls. */
import {sayOnce} from '../../common/say_once';
import {positions} from './binaries';
import {Oversubscription} from './oversubscription';
import {canSleep} from './thread_count';
import {CALL, nodeWorker, pageWorker, WORD, type WorkerStart} from './thread_worker';

export type FunctionName = keyof typeof positions;

/** Arguments of a function of the module, by name. */
type Arguments = Partial<Record<string, number | boolean>>;

/** An argument that is the address of memory to work in, of which each thread has its own, `bytes` after that of the one before. */
export interface Workspace {
  argument: string;
  bytes: number;
}

/** The most calls at a time, by the bits that `WORD.next` has for them. */
const MAX_CALLS = 255;

/** How long the caller spins before it sleeps until workers are done, in milliseconds. */
const SPIN_MS = 0.2;

/**
 * How long the caller waits at least before it gives up, in milliseconds, and how many times as long as its own calls have taken: a page gets
 * no sign of a worker that is dead or never comes back. Calls of small models take a second at most.
 */
const [LIMIT_MS, LIMIT_TIMES] = [120_000, 30];

/** What the caller sleeps at a time, and the most that counts as waited in one: a process that was stopped has not waited. */
const SLICE_MS = 100;

/** How long the caller waits before it looks whether workers still run, and from one look to the next, in milliseconds. */
const LOOK_MS = 500;

/** What a worker in Node may take beside the memory that it shares: it has a page of JavaScript. V8 reserves 128 MB for code by default. */
const WORKER_LIMITS = {
  ...{maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4, codeRangeSizeMb: 32},
};

const names = Object.keys(positions) as FunctionName[];
const numbers = new Map(names.map((name, i) => [name, i]));

const NOT_LOADED = 'it cannot be loaded; a Content-Security-Policy has to allow worker-src blob:';

/** What is common to workers of Node and of a page. */
interface AnyWorker {
  terminate(): unknown;
  /** Whether it has ended, also if the caller's event loop has not heard of that; in a page nobody can know. */
  hasEnded(): boolean;
}

export class ThreadPool {
  private readonly words = new Int32Array(new SharedArrayBuffer(4 * WORD.size));
  private readonly calls = new Float64Array(new SharedArrayBuffer(8 * CALL.size * MAX_CALLS));
  private readonly workers: AnyWorker[] = [];
  /** Whether short calls are sooner done without workers, because other programs want the processors. */
  readonly busy = new Oversubscription();
  private generation = 0;
  private hasEnded = false;

  /**
   * Starts workers; until they run, and if one cannot run, the caller does all.
   *
   * @param own The caller's own instance of the module.
   * @param scratches Memory for the module's instance of each worker.
   * @param limit See {@link LIMIT_MS}.
   */
  constructor(
    private readonly own: WebAssembly.Exports,
    start: Pick<WorkerStart, 'module' | 'memory'>,
    scratches: readonly number[],
    private readonly limit = LIMIT_MS,
  ) {
    try {
      scratches.forEach((scratch, i) => {
        this.workers.push(
          this.startWorker({
            ...{...start, scratch, thread: i + 1, functions: names},
            ...{control: this.words.buffer, calls: this.calls.buffer},
          }),
        );
      });
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  /** How many threads compute, with the caller. */
  get threads(): number {
    return this.hasEnded ? 1 : this.workers.length + 1;
  }

  /** How many workers run by now, and how many calls they have run. */
  get work(): {workers: number; calls: number} {
    const [workers, calls] = [WORD.ready, WORD.helped].map((word) =>
      Atomics.load(this.words, word),
    );
    return {workers: workers!, calls: calls!};
  }

  /**
   * Runs a function several times, independently, and waits until all calls are done.
   *
   * @param named The arguments of the first call.
   * @param changes For each call the arguments that are others than in the call before.
   * @param longest Of short calls, how many milliseconds all of them take at most on a processor of their own.
   * @returns what the function returns, in the order of the calls.
   * @throws if one fails, after all have ended.
   */
  run(
    name: FunctionName,
    named: Arguments,
    changes: readonly Arguments[],
    workspace?: Workspace,
    longest = Infinity,
  ): number[] {
    const order: readonly string[] = positions[name];
    const given = order.map((argument) => Number(named[argument]));
    const results: number[] = [];
    for (let i = 0; i < changes.length; i += MAX_CALLS) {
      const some = changes.slice(i, i + MAX_CALLS);
      results.push(...this.runSome(name, given, some, workspace, longest));
    }
    return results;
  }

  /** Ends the workers, as soon as they have done what they are at. */
  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    Atomics.store(this.words, WORD.ends, 1);
    Atomics.notify(this.words, WORD.next);
    for (const worker of this.workers) worker.terminate();
  }

  /** As {@link run} does; `given` are the arguments by position, and become those of the last call. */
  private runSome(
    name: FunctionName,
    given: number[],
    changes: readonly Arguments[],
    workspace: Workspace | undefined,
    longest: number,
  ): number[] {
    const {words, calls} = this;
    const order: readonly string[] = positions[name];
    const own = workspace ? order.indexOf(workspace.argument) : -1;
    let at = 0;
    for (const change of changes) {
      for (const argument in change) given[order.indexOf(argument)] = Number(change[argument]);
      calls[at + CALL.function] = numbers.get(name)!;
      calls[at + CALL.workspace] = own;
      calls[at + CALL.workspaceBytes] = workspace?.bytes ?? 0;
      for (let i = 0; i < given.length; i++) calls[at + CALL.arguments + i] = given[i]!;
      at += CALL.size;
    }
    Atomics.store(words, WORD.done, 0);
    Atomics.store(words, WORD.failed, 0);
    this.generation = (this.generation + 1) & 0x7fff;
    Atomics.store(words, WORD.next, (this.generation << 16) | (changes.length << 8));
    // from now on they count as awake, though it takes them a while
    if (Atomics.load(words, WORD.sleepers) > 0)
      Atomics.sub(words, WORD.sleepers, Atomics.notify(words, WORD.next));
    const failures: Error[] = [];
    const start = performance.now();
    for (let call = this.claim(); call !== null; call = this.claim()) {
      try {
        this.runHere(call);
      } catch (error) {
        failures.push(error as Error);
      }
      Atomics.add(words, WORD.done, 1);
    }
    const took = performance.now() - start;
    this.busy.note(took, longest);
    this.wait(changes.length, Math.max(this.limit, LIMIT_TIMES * took));
    const failed = Atomics.load(words, WORD.failed);
    if (failures.length > 0) throw failures[0]!;
    if (failed > 0)
      throw new Error(`The function ${name} of the wasm kernels has failed in a worker`);
    return changes.map((_, i) => calls[i * CALL.size + CALL.result]!);
  }

  /** The number of a call that is the caller's to run, or null. */
  private claim(): number | null {
    const {words} = this;
    for (;;) {
      const word = Atomics.load(words, WORD.next);
      const next = word & 255;
      if (next >= ((word >>> 8) & 255)) return null;
      if (Atomics.compareExchange(words, WORD.next, word, word + 1) === word) return next;
    }
  }

  private runHere(call: number): void {
    const {calls} = this;
    const at = call * CALL.size;
    const name = names[calls[at + CALL.function]!]!;
    const given: number[] = [];
    for (let i = 0; i < positions[name].length; i++) given.push(calls[at + CALL.arguments + i]!);
    const f = this.own[name] as (...values: number[]) => number;
    calls[at + CALL.result] = f(...given);
  }

  /** Waits until so many calls are done, for `limit` milliseconds at most. */
  private wait(count: number, limit: number): void {
    const {words} = this;
    let [waited, look, last] = [0, LOOK_MS, performance.now()];
    for (let done = Atomics.load(words, WORD.done); done < count;) {
      const now = performance.now();
      waited += Math.min(now - last, SLICE_MS);
      last = now;
      if (waited > limit) this.giveUp(`has not answered for ${Math.ceil(limit / 1000)} s`);
      if (waited > look) {
        if (this.workers.some((worker) => worker.hasEnded())) this.giveUp('has ended in a call');
        look += LOOK_MS;
      }
      if (waited > SPIN_MS && canSleep()) {
        Atomics.store(words, WORD.waits, 1);
        Atomics.wait(words, WORD.done, done, SLICE_MS);
        Atomics.store(words, WORD.waits, 0);
      }
      done = Atomics.load(words, WORD.done);
    }
  }

  private giveUp(what: string): never {
    this.fail(`it ${what}`);
    throw new Error(
      `A thread of the wasm kernels ${what}: values may be wrong. Start the program anew (a page: reload it), from its last ` +
        'checkpoint; if it happens again, with setThreads(1), or OWLORE_THREADS=1 in the environment',
    );
  }

  private startWorker(data: WorkerStart): AnyWorker {
    const threads = globalThis.process?.getBuiltinModule?.('node:worker_threads');
    if (threads) {
      const {port1, port2} = new threads.MessageChannel();
      const worker = new threads.Worker(nodeWorker, {
        ...{eval: true, env: {}, resourceLimits: WORKER_LIMITS},
        ...{workerData: {...data, port: port2}, transferList: [port2]},
      });
      worker.unref();
      worker.on('error', ({message}) => this.fail(message));
      worker.on('exit', (code) => this.fail(`exit code ${code}`));
      // false if the other port went with its thread, in Node 20 to 24; its documentation does not say so
      const isHeard = (): unknown => port1.postMessage(null);
      return {terminate: () => worker.terminate(), hasEnded: () => isHeard() === false};
    }
    const url = URL.createObjectURL(new Blob([pageWorker], {type: 'text/javascript'}));
    const worker = new Worker(url);
    // an event without a message is of a script that could not be loaded
    worker.onerror = ({message}) => this.fail(message || NOT_LOADED);
    worker.postMessage(data);
    return {terminate: () => worker.terminate(), hasEnded: () => false};
  }

  /** Goes on without workers; says why, once. */
  private fail(reason: string): void {
    if (this.hasEnded) return;
    this.end();
    sayOnce(
      'warn',
      `tfjs-owlore: the wasm kernels go on with one thread, because a worker has ended: ${reason}`,
    );
  }
}
