/** What this machine gives to two processes that it does not give to one. */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {compile} from './compile';
import {median} from './statistics';

/** How fast two processes together run a kernel, against one alone; 2 on a machine whose two processors share nothing. */
export interface Scaling {
  /** Of products within the caches. */
  products: number;
  /** Of reading memory. */
  reading: number;
}

export async function measureScaling({
  rounds,
  seconds,
}: {
  rounds: number;
  seconds: number;
}): Promise<Scaling> {
  const script = await compiledLoop();
  const ratioOf = async (kind: keyof Scaling): Promise<number> => {
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const [one] = await runAtOnce(1, script, kind, seconds);
      const [first, second] = await runAtOnce(2, script, kind, seconds);
      ratios.push((first! + second!) / one!);
    }
    return median(ratios);
  };
  return {products: await ratioOf('products'), reading: await ratioOf('reading')};
}

/** Runs `body` beside processes that compute products all the time, each on one thread. */
export async function withBusyProcesses<T>(count: number, body: () => Promise<T>): Promise<T> {
  const running = await startLoops(count, await compiledLoop(), 'products', Infinity);
  try {
    return await body();
  } finally {
    for (const {child} of running) child.kill();
  }
}

function compiledLoop(): Promise<string> {
  return compile(fileURLToPath(new URL('../contenders/scaling_loop.ts', import.meta.url)));
}

/** Processes that run a kernel for some seconds from now on, all at the same time. */
async function startLoops(count: number, script: string, kind: keyof Scaling, seconds: number) {
  const running = Array.from({length: count}, () => {
    const child = spawn(process.execPath, [script, kind, String(seconds)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {...process.env, OWLORE_THREADS: '1'},
    });
    const lines = createInterface({input: child.stdout});
    return {child, lines: lines[Symbol.asyncIterator](), ended: once(child, 'exit')};
  });
  await Promise.all(running.map(({lines}) => lines.next()));
  for (const {child} of running) child.stdin.write('\n');
  return running;
}

/** How often a second each of some processes runs a kernel, all at the same time. */
async function runAtOnce(
  count: number,
  script: string,
  kind: keyof Scaling,
  seconds: number,
): Promise<number[]> {
  const running = await startLoops(count, script, kind, seconds);
  return Promise.all(
    running.map(async ({lines, ended}) => {
      const rate = Number((await lines.next()).value);
      await ended;
      return rate;
    }),
  );
}
