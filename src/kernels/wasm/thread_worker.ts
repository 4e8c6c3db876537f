/** What a worker of {@link ThreadPool} runs, as text: a compiler would add names to a function that only this module has. */

/** Numbers of a call in the shared list of calls: where its function, result and arguments are. */
export const CALL = {
  function: 0,
  workspace: 1,
  workspaceBytes: 2,
  result: 3,
  arguments: 4,
  size: 32,
};

/** Words of the control block, each in a cache line of its own (two, as processors fetch them in pairs). */
export const WORD = {
  /** `generation << 16 | calls << 8 | next`: the next call that nobody has claimed. */
  next: 0,
  /** How many calls are done. */
  done: 32,
  /** How many workers sleep, and have not been woken. */
  sleepers: 64,
  /** 1 while the caller sleeps until `done` changes. */
  waits: 96,
  /** One more than the number of the first call that has failed; 0 for none. */
  failed: 128,
  /** 1 when workers are to end. */
  ends: 160,
  /** How many workers run. */
  ready: 192,
  /** How many calls workers have run. */
  helped: 224,
  size: 256,
};

/**
 * How long a worker spins before it sleeps, in milliseconds. Waking it takes the caller 6 µs on one machine and 90 on another. Calls found
 * it asleep after 0.2 ms and after 1 ms: 13 and 3 times in 100 of a decoder's, 60 and 7 of a training's products.
 */
const SPIN_MS = 1;

/** What a worker is given. */
export interface WorkerStart {
  module: WebAssembly.Module;
  /**
   * Shared. A worker of V8 that starts while it grows may not learn its new size: `memory.fill` and `memory.copy` of its instance trap
   * beyond the former end (12 of 1484 workers, Node 20.20) until it grows again, be it by 0.
   */
  memory: WebAssembly.Memory;
  /** Memory for its own instance. */
  scratch: number;
  /** Which thread it is, from 1 on: the caller is 0. */
  thread: number;
  /** {@link WORD}, and calls of {@link CALL}. */
  control: SharedArrayBuffer;
  calls: SharedArrayBuffer;
  /** The names of the functions, by the number that a call has. */
  functions: readonly string[];
}

const body = `
function work({module, memory, scratch, thread, control, calls, functions}) {
  const {exports} = new WebAssembly.Instance(module, {env: {memory}});
  memory.grow(0); // which tells it its size, see WorkerStart
  exports.initialize(scratch);
  const words = new Int32Array(control);
  const all = new Float64Array(calls);
  const run = (call) => {
    const at = call * ${CALL.size};
    const f = exports[functions[all[at]]];
    const given = [];
    for (let i = 0; i < f.length; i++) given.push(all[at + ${CALL.arguments} + i]);
    const workspace = all[at + ${CALL.workspace}];
    if (workspace >= 0) given[workspace] += thread * all[at + ${CALL.workspaceBytes}];
    all[at + ${CALL.result}] = f(...given);
  };
  Atomics.add(words, ${WORD.ready}, 1);
  let [seen, last] = [0, performance.now()];
  while (Atomics.load(words, ${WORD.ends}) === 0) {
    const word = Atomics.load(words, ${WORD.next});
    if (word !== seen) [seen, last] = [word, performance.now()];
    const next = word & 255;
    if (next < ((word >>> 8) & 255)) {
      if (Atomics.compareExchange(words, ${WORD.next}, word, word + 1) !== word) continue;
      try {
        run(next);
      } catch {
        Atomics.store(words, ${WORD.failed}, next + 1);
      }
      Atomics.add(words, ${WORD.helped}, 1);
      Atomics.add(words, ${WORD.done}, 1);
      if (Atomics.load(words, ${WORD.waits}) === 1) Atomics.notify(words, ${WORD.done});
      last = performance.now();
    } else if (performance.now() - last > ${SPIN_MS}) {
      Atomics.add(words, ${WORD.sleepers}, 1);
      // who wakes it has counted it as awake
      if (Atomics.wait(words, ${WORD.next}, word) !== 'ok') Atomics.sub(words, ${WORD.sleepers}, 1);
      last = performance.now();
    }
  }
}
`;

/** The program of a worker in Node, which gets its {@link WorkerStart} as `workerData`. */
export const nodeWorker = `const {workerData} = require('node:worker_threads');${body}work(workerData);`;

/** The program of a worker in a page, which gets its {@link WorkerStart} as its first message. */
export const pageWorker = `${body}onmessage = ({data}) => { work(data); close(); };`;
