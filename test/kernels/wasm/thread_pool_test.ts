import {setTimeout as sleep} from 'node:timers/promises';
import {Worker} from 'node:worker_threads';
import {expect} from 'chai';
import {ThreadPool} from '../../../src/kernels/wasm/thread_pool';
import {WORD} from '../../../src/kernels/wasm/thread_worker';
import {expectWarning} from '../../support/warnings';
import {waitingModule} from './waiting_module';

/** Where calls store that they have begun and ended, and the numbers for which they wait. */
const [X, Y] = [64, 128];

describe('ThreadPool', function () {
  this.timeout(20_000);

  const module = new WebAssembly.Module(waitingModule);
  let words: Int32Array;
  let pool: ThreadPool;
  /** What the caller's own call does, once the other one runs in the worker; it gets what the worker's call was given. */
  let own: (x: number) => void;

  async function start(limit?: number): Promise<void> {
    const memory = new WebAssembly.Memory({initial: 1, maximum: 65536, shared: true});
    words = new Int32Array(memory.buffer);
    const exports = {
      scale(x: number) {
        const other = x === X ? X + 4 : X;
        while (Atomics.load(words, other / 4) === 0);
        own(other);
      },
    };
    pool = new ThreadPool(exports, {module, memory}, [0], limit);
    while (pool.work.workers < 1) await sleep(5);
  }
  afterEach(() => pool.end());

  /** Two calls, of which the caller and the worker run one each. */
  const run = (size = 1, longest?: number): number[] => {
    const both = [0, 4].map((i) => ({x: X + i, y: Y + i}));
    return pool.run('scale', {size, factor: 1}, both, undefined, longest);
  };

  /** Ends the worker's call. */
  const release = (x: number): void => void Atomics.store(words, (x - X + Y) / 4, 1);

  /** Runs a program in another thread while this one is blocked. */
  function meanwhile(program: string): Worker {
    const code = `const {workerData: words} = require('node:worker_threads');
      const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
      ${program}`;
    return new Worker(code, {eval: true, workerData: words});
  }

  const UNTIL_CALLED = `while (Atomics.load(words, ${X / 4}) + Atomics.load(words, ${X / 4 + 1}) < 1);`;
  const RELEASE = `for (const i of [0, 1]) Atomics.store(words, ${Y / 4} + i, 1);`;

  const inside = (): {workers: Array<{terminate(): unknown}>} => pool as never;

  it('runs calls in the worker and in the thread that calls', async () => {
    await start();
    own = release;
    run();
    expect(pool.work.calls).to.equal(1);
    expect(pool.threads).to.equal(2);
  });

  it('wakes a worker that sleeps once, and counts it as awake from then on', async () => {
    await start();
    const {words: control} = pool as never as {words: Int32Array};
    for (let i = 0; i < 3; i++) {
      while (Atomics.load(control, WORD.sleepers) < 1) await sleep(5);
      let sleepers = 1;
      own = (x) => {
        sleepers = Atomics.load(control, WORD.sleepers);
        release(x);
      };
      words.fill(0);
      run();
      expect(sleepers).to.equal(0);
    }
    expect(pool.work.calls).to.equal(3);
  });

  it("notes where the caller's part of short calls takes longer than it can", async () => {
    await start();
    own = (x) => {
      const from = performance.now();
      while (performance.now() - from < 5);
      release(x);
    };
    const again = (longest: number): void => {
      words.fill(0);
      run(1, longest);
    };
    for (let i = 0; i < 3; i++) again(10_000);
    expect(pool.busy.isOn).to.equal(false);
    // two that are not far from each other, which on a busy machine are not always the first ones
    for (let i = 0; i < 100 && !pool.busy.isOn; i++) again(1);
    expect(pool.busy.isOn).to.equal(true);
  });

  it('throws where a call traps in the worker, and goes on', async () => {
    await start();
    own = release;
    expect(() => run(0)).to.throw('The function scale of the wasm kernels has failed in a worker');
    words.fill(0);
    run();
    expect(pool.threads).to.equal(2);
    // the worker may have had the time for both calls that trap
    expect(pool.work.calls).to.be.within(2, 3);
  });

  it("throws where the caller's own call fails, once the worker is done", async () => {
    await start();
    let other = 0;
    own = (x) => {
      other = x;
      throw new Error('the reason');
    };
    const helper = meanwhile(`${UNTIL_CALLED} sleep(200); ${RELEASE}`);
    expect(() => run()).to.throw('the reason');
    expect(Atomics.load(words, other / 4)).to.equal(2);
    await helper.terminate();
    words.fill(0);
    own = release;
    run();
    expect([pool.work.calls, pool.threads]).to.deep.equal([2, 2]);
  });

  it('throws soon where a worker dies in a call, and goes on with one thread', async () => {
    await start();
    own = () => void inside().workers[0]!.terminate();
    expectWarning(/ go on with one thread, because a worker has ended: it has ended in a call$/);
    expect(() => run()).to.throw(
      'A thread of the wasm kernels has ended in a call: values may be wrong. Start the program anew (a page: reload it), from its ' +
        'last checkpoint; if it happens again, with setThreads(1), or OWLORE_THREADS=1 in the environment',
    );
    expect(pool.threads).to.equal(1);
  });

  it('throws where a call never ends, and ends the worker', async () => {
    await start(300);
    own = () => undefined;
    expectWarning(/because a worker has ended: it has not answered for \d+ s$/);
    expect(() => run()).to.throw(
      /^A thread of the wasm kernels has not answered for \d+ s: values may be wrong. Start /,
    );
    expect(pool.threads).to.equal(1);
    await inside().workers[0]!.terminate(); // until it has ended
  });

  it('waits in proportion to the calls that the caller has run itself', async () => {
    await start(10);
    // 30 times as long, and not for 10 ms
    own = () => void Atomics.wait(words, 0, 0, 60);
    const helper = meanwhile(`${UNTIL_CALLED} sleep(600); ${RELEASE}`);
    run();
    await helper.terminate();
    expect(pool.threads).to.equal(2);
  });

  it('has not waited while the process was stopped', async () => {
    await start();
    const {now} = performance;
    let stopped = 0;
    own = () => {
      // for a minute, again and again
      performance.now = () => now.call(performance) + 60_000 * stopped++;
    };
    const helper = meanwhile(`${UNTIL_CALLED} sleep(500); ${RELEASE}`);
    try {
      run();
    } finally {
      performance.now = now;
      await helper.terminate();
    }
    expect(stopped).to.be.greaterThan(4);
    expect(pool.threads).to.equal(2);
  });
});
