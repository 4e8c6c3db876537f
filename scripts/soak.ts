/**
 * Long runs that look for what grows or crashes with time.
 *
 *   npx tsx scripts/soak.ts training [backend] [steps] [model]  20000 steps; layers are sampled, bases refreshed, checkpoints saved and resumed
 *   npx tsx scripts/soak.ts adam [backend] [steps] [model]      the same models and data by tfjs's own optimizer, for comparison
 *   npx tsx scripts/soak.ts signals [backend] [seconds]         300 seconds; every kernel of wasm or tensorflow while signals are handled
 *
 * Models are `llama` and `convolution`; without a name each of them is trained, in a process of its own. The first tenth of the steps is a
 * warm-up, in which code is compiled and pools of memory grow. From then on tensors, their bytes and data of the backend must be
 * the same after each 100th step, and resident memory may grow by 5 % until the end. docs/measurements.md has results.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {differences, residentGrowth, residentMemory, type Sample} from '../test/soak/samples';

/** What can be run, and for how long by default. */
const parts = {training: 20_000, adam: 20_000, signals: 300} as const;
const backends = ['cpu', 'wasm', 'tensorflow', 'webgpu'];

const models = ['llama', 'convolution'];

const [part = 'training', backend = 'wasm', length, model] = process.argv.slice(2);
const isRight =
  Object.hasOwn(parts, part) &&
  backends.includes(backend) &&
  (model === undefined || (part !== 'signals' && models.includes(model))) &&
  (length === undefined || (part === 'signals' ? /^\d+$/ : /^[1-9]\d*000$/).test(length));
if (!isRight) {
  process.stderr.write(
    'usage: npx tsx scripts/soak.ts training|adam [backend] [steps] [llama|convolution]   steps: thousands\n' +
      '       npx tsx scripts/soak.ts signals wasm|tensorflow [seconds]\n',
  );
  process.exit(1);
}
const duration = length ?? String(parts[part as keyof typeof parts]);
if (part === 'signals') {
  const child = runProgram('test/kernels/kernels_under_signals.ts', [backend, duration], 'inherit');
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
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
): ReturnType<typeof spawn> {
  return spawn(process.execPath, ['--expose-gc', '--import', 'tsx', program, ...args], {
    stdio: ['ignore', stdout, 'inherit'],
    env: {...process.env, TF_CPP_MIN_LOG_LEVEL: '2'},
  });
}
