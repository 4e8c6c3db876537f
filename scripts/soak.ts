/**
 * Long runs that look for what grows or crashes with time.
 *
 *   npx tsx scripts/soak.ts training [backend] [steps] [model]  20000 steps; layers are sampled, bases refreshed, checkpoints saved and resumed
 *   npx tsx scripts/soak.ts adam [backend] [steps] [model]      the same models and data by tfjs's own optimizer, for comparison
 *   npx tsx scripts/soak.ts signals [backend] [seconds]         300 seconds; every kernel of wasm or tensorflow while signals are handled
 *   npx tsx scripts/soak.ts threads wasm [seconds]              3600 seconds; wasm's threads on random models, while the heap grows
 *
 * Models are `llama` and `convolution`; without a name each of them is trained, in a process of its own. The first tenth of the steps is a
 * warm-up, in which code is compiled and pools of memory grow. From then on tensors, their bytes and data of the backend must be
 * the same after each 100th step, and resident memory may grow by 5 % until the end. docs/measurements.md has results.
 *
 * `threads` has three processes make the same steps, one of them on one thread. They must get the same bits, on processors that are busy with each
 * other. With backends that are made and removed resident memory grows on one thread, too, for a while: there it may grow by 5 % in the
 * second half, and with threads by 5 % more than on one.
 */
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';
import {differences, residentGrowth, residentMemory, type Sample} from '../test/soak/samples';
import type {ThreadsSample} from '../test/soak/threads';

/** What can be run, and for how long by default. */
const parts = {training: 20_000, adam: 20_000, signals: 300, threads: 3600} as const;
const backends = ['cpu', 'wasm', 'tensorflow', 'webgpu'];

const models = ['llama', 'convolution'];

/** A step of threads that takes longer hangs, in seconds. */
const HANGS_AFTER = 300;

const [part = 'training', backend = 'wasm', length, model] = process.argv.slice(2);
const isTimed = part === 'signals' || part === 'threads';
const isRight =
  Object.hasOwn(parts, part) &&
  backends.includes(backend) &&
  (part !== 'threads' || backend === 'wasm') &&
  (model === undefined || (!isTimed && models.includes(model))) &&
  (length === undefined || (isTimed ? /^\d+$/ : /^[1-9]\d*000$/).test(length));
if (!isRight) {
  process.stderr.write(
    'usage: npx tsx scripts/soak.ts training|adam [backend] [steps] [llama|convolution]   steps: thousands\n' +
      '       npx tsx scripts/soak.ts signals wasm|tensorflow [seconds]\n' +
      '       npx tsx scripts/soak.ts threads wasm [seconds]\n',
  );
  process.exit(1);
}
const duration = length ?? String(parts[part as keyof typeof parts]);
if (part === 'signals') {
  const child = runProgram('test/kernels/kernels_under_signals.ts', [backend, duration], 'inherit');
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
} else if (part === 'threads') {
  await compareThreads(Number(duration));
} else {
  for (const each of model === undefined ? models : [model]) await train(each, Number(duration));
}

/** Trains a model, and says what it held. */
async function train(name: string, steps: number): Promise<void> {
  const optimizer = part === 'adam' ? 'adam' : 'owlore';
  const args = [backend, String(steps), name, optimizer];
  const start = performance.now();
  const child = runProgram('test/soak/training.ts', args, 'pipe');
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  const samples: Sample[] = [];
  for await (const line of createInterface({input: child.stdout!})) {
    const sample = JSON.parse(line) as Sample;
    samples.push(sample);
    if (sample.step % (steps / 10) === 0) process.stdout.write(`${described(sample)}\n`);
  }
  const [code, signal] = await ended;
  const warm = samples.filter(({step}) => step > steps / 10);
  const problems =
    warm.length > 1
      ? [...differences(warm), ...residentGrowth(warm)]
      : ['there are not two samples after the warm-up to compare'];
  if (code !== 0) problems.push(`the process ended with ${signal ?? code}`);
  if (samples.at(-1)?.step !== steps) problems.push('not all steps were made');
  const {before, after} = residentMemory(warm);
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(
    `${name} by ${optimizer} on ${backend}, ${steps} steps in ${seconds.toFixed(0)} s: resident memory ` +
      `${megabytes(before)} MB after ${steps / 10} steps, ${megabytes(after)} MB at the end ` +
      `(${(100 * (after / before - 1)).toFixed(1)} %); ${problems.join('; ') || 'nothing has grown'}\n`,
  );
  if (problems.length > 0) process.exitCode = 1;
}

/** Makes the same steps on one thread and on several, and says whether they got the same bits, and what the processes held. */
async function compareThreads(seconds: number): Promise<void> {
  const seed = String(Date.now() % 2 ** 31);
  const counts = [['1'], ['2', '3', '5', '8'], ['3', '8', '2']];
  const runs = counts.map((each) => {
    const child = runProgram('test/soak/threads.ts', [seed, ...each], 'pipe', 'pipe');
    child.stdin!.on('error', () => undefined); // it has ended, which is told by its output
    const lines = createInterface({input: child.stdout!})[Symbol.asyncIterator]();
    return {child, lines, name: `threads ${each.join()}`, samples: [] as ThreadsSample[]};
  });
  process.stdout.write(`seed ${seed}\n`);
  const problems: string[] = [];
  const start = Date.now();
  let [lastSaid, steps] = [start, 0];
  for (; problems.length === 0 && Date.now() - start < 1000 * seconds; steps++) {
    const all = await Promise.all(runs.map(({child, lines}) => nextStep(child, lines)));
    const [one, ...others] = all.map((sample, i) => {
      if (typeof sample === 'string') problems.push(`${runs[i]!.name}: ${sample}`);
      else runs[i]!.samples.push(sample);
      return typeof sample === 'string' ? undefined : sample;
    });
    for (const other of others)
      if (one && other && one.digest !== other.digest)
        problems.push(`step ${other.step} has other bits on ${other.threads} threads than on one`);
    if (Date.now() - lastSaid > 100 * seconds) {
      lastSaid = Date.now();
      for (const {name, samples} of runs) process.stdout.write(`${name}:${described(samples.at(-1)!)}\n`); // prettier-ignore
    }
  }
  for (const {child} of runs) child.kill('SIGKILL');
  let alone: Sample[] | undefined;
  for (const {name, samples} of runs) {
    // a backend's first step: resident memory was taken before it
    const first = samples.filter(({heap}, i) => i === 0 || heap < samples[i - 1]!.heap);
    const warm = first.slice(Math.ceil(first.length / 10));
    if (warm.length > 3) {
      const grown = alone
        ? residentGrowth(warm, alone)
        : residentGrowth(warm.slice(Math.floor(warm.length / 2)));
      alone ??= warm;
      const held = [...differences(samples), ...grown];
      problems.push(...held.map((problem) => `${name}: ${problem}`));
    } else problems.push(`${name}: too few backends to compare`);
    const helped = first.slice(1).map(({step}) => samples[step - 2]!.helped);
    if (name !== 'threads 1' && !helped.every((calls) => calls > 0))
      problems.push(`${name}: a backend's workers have not run`);
    const {before, after} = residentMemory(warm);
    const most = Math.max(...samples.map(({heap}) => heap));
    process.stdout.write(
      `${name}: ${first.length} backends, heaps of up to ${megabytes(most)} MB, ${helped.reduce((sum, calls) => sum + calls, 0)} calls ` +
        `by workers; resident memory between backends ${megabytes(before)} MB at first, ${megabytes(after)} MB at the end\n`,
    );
  }
  process.stdout.write(
    `${steps} steps in ${((Date.now() - start) / 1000).toFixed(0)} s: ${problems.join('; ') || 'the same bits, and nothing has grown'}\n`,
  );
  if (problems.length > 0) process.exitCode = 1;
}

/** Has a process make a step. Returns what it says, or why it says nothing. */
async function nextStep(
  child: ChildProcess,
  lines: AsyncIterator<string>,
): Promise<ThreadsSample | string> {
  child.stdin!.write('\n');
  const next = lines.next();
  // by the second: processes that were stopped together have not waited
  for (let seconds = 0; seconds < HANGS_AFTER; seconds++) {
    const line = await Promise.race([next, sleep(1000, null, {ref: false})]);
    if (line === null) continue;
    return line.done ? 'the process has ended' : (JSON.parse(line.value) as ThreadsSample);
  }
  return `no step within ${HANGS_AFTER} s`;
}

function described({step, tensors, bytes, data, rss}: Sample): string {
  return `  step ${step}: ${tensors} tensors of ${bytes} bytes, ${data} data, resident ${megabytes(rss)} MB`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function runProgram(
  program: string,
  args: readonly string[],
  stdout: 'inherit' | 'pipe',
  stdin: 'ignore' | 'pipe' = 'ignore',
): ReturnType<typeof spawn> {
  return spawn(process.execPath, ['--expose-gc', '--import', 'tsx', program, ...args], {
    stdio: [stdin, stdout, 'inherit'],
    env: {...process.env, TF_CPP_MIN_LOG_LEVEL: '2'},
  });
}
