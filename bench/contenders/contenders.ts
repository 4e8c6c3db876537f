/** The trainings of the reference workload that `npm run bench -- performance` compares, as processes. */
import {fileURLToPath} from 'node:url';
import type {ContenderOptions} from '../harness/contender';
import {compile} from '../harness/compile';
import type {ChromiumOptions} from './chromium_contender';
import type {GenerationOptions} from './generation_contender';
import type {JaxOptions} from './jax_reference';
import type {OrdinaryOptions} from './ordinary_contender';
import type {Smollm2Options} from './smollm2_contender';
import type {TfjsOptions} from './tfjs_contender';
import {adamOptions, trainedSets, type Shape, type TrainedSet} from '../harness/workload';

/** Node 20 has relaxed SIMD behind a flag. */
const RELAXED_SIMD = '--experimental-wasm-relaxed-simd';

/** How often a contender has its turn, where it matters. */
type Turns = Partial<Pick<ContenderOptions, 'warmUp' | 'steps'>>;

const turnDefaults = {warmUp: 2, steps: 1};

export async function tfjs(
  title: string,
  {
    relaxedSimd = false,
    threads = 1,
    ...options
  }: TfjsOptions & {
    relaxedSimd?: boolean;
    /** Those of wasm. */
    threads?: number;
  },
  turns: Turns = {},
): Promise<ContenderOptions> {
  const flags = relaxedSimd ? [RELAXED_SIMD] : [];
  const contender = await node(title, flags, 'tfjs_contender.ts', JSON.stringify(options));
  return {...contender, env: withThreads(threads), ...turns};
}

/** What a training outside tfjs must know, to be the same one. */
function settings(shape: Shape): JaxOptions {
  return {
    shape,
    learningRate: adamOptions.learningRate as number,
    epsilon: adamOptions.epsilon!,
  };
}

/**
 * @param startPoint A file from `withStartPoint`.
 * @param workers Default: none, one thread.
 */
export async function jax(
  title: string,
  shape: Shape,
  startPoint: string,
  turns: Turns = {},
  workers = 0,
): Promise<ContenderOptions> {
  const args = [startPoint, JSON.stringify(settings(shape)), String(workers)];
  return {...(await node(title, [], 'jax_contender.ts', ...args)), ...turns};
}

export interface PytorchOptions {
  shape: Shape;
  python: string;
  /** A file from `withStartPoint`. */
  startPoint: string;
  threads: number;
  trained: 'full' | 'lisa';
  /**
   * Whether a thread that waits for another one within a step sleeps, and does not spin, as it does by default: slower on a
   * quiet machine, ten times as fast where others want the processors. Between steps it sleeps in both cases.
   */
  sleeps?: boolean;
}

export function pytorch(
  title: string,
  {shape, python, startPoint, threads, trained, sleeps = false}: PytorchOptions,
  turns: Turns = {},
): ContenderOptions {
  const set: TrainedSet = trainedSets[trained];
  const blocks = Array.from({length: shape.layers}, (_, i) => i);
  const on = blocks.filter((i) => set === 'all' || set.includes(`model.layers.${i}`));
  const options = JSON.stringify({...settings(shape), threads, on});
  return {
    title,
    command: python,
    args: [here('pytorch_reference.py'), startPoint, options],
    ...(sleeps && {env: {OMP_WAIT_POLICY: 'PASSIVE'}}),
    ...turnDefaults,
    ...turns,
  };
}

/** Graphs come after 16 runs of a kernel; a step has as many of each as there are blocks. */
const modelTurns = {warmUp: 4, steps: 1};

/** @param threads Those of wasm. */
export async function smollm2(
  title: string,
  options: Smollm2Options,
  threads = 1,
): Promise<ContenderOptions> {
  return {
    ...(await node(title, [], 'smollm2_contender.ts', JSON.stringify(options))),
    ...{env: withThreads(threads)},
    ...modelTurns,
  };
}

export async function generation(
  title: string,
  options: GenerationOptions,
  threads: number,
  turns: Turns,
): Promise<ContenderOptions> {
  const contender = await node(title, [], 'generation_contender.ts', JSON.stringify(options));
  return {...contender, env: withThreads(threads), ...turns};
}

export async function ordinary(
  title: string,
  options: OrdinaryOptions,
  threads: number,
  turns: Turns,
): Promise<ContenderOptions> {
  const contender = await node(title, [], 'ordinary_contender.ts', JSON.stringify(options));
  return {...contender, env: withThreads(threads), ...turns};
}

export async function inChromium(
  title: string,
  options: Omit<ChromiumOptions, 'jax'>,
  turns: Turns,
): Promise<ContenderOptions> {
  return {...(await node(title, [], 'chromium_contender.ts', JSON.stringify(options))), ...turns};
}

/**
 * With as many workers as the browser tells processors.
 *
 * @param startPoint A file from `withStartPoint`.
 */
export async function jaxInChromium(
  title: string,
  shape: Shape,
  startPoint: string,
  turns: Turns,
): Promise<ContenderOptions> {
  const options = {shape, threads: 1, inWorker: false, jax: {...settings(shape), startPoint}};
  return {...(await node(title, [], 'chromium_contender.ts', JSON.stringify(options))), ...turns};
}

function withThreads(threads: number): Record<string, string> {
  return {OWLORE_THREADS: String(threads)};
}

/** The same steps in PyTorch. */
export function pytorchModel(
  title: string,
  python: string,
  options: Omit<Smollm2Options, 'backend' | 'gradientCheckpointing'> & {
    checkpoints: boolean;
    threads: number;
  },
): ContenderOptions {
  const args = [here('pytorch_reference.py'), '', JSON.stringify({...options, epsilon: 1e-8})];
  return {title, command: python, args, ...modelTurns};
}

async function node(
  title: string,
  flags: readonly string[],
  script: string,
  ...args: readonly string[]
): Promise<ContenderOptions> {
  return {
    title,
    command: process.execPath,
    args: ['--expose-gc', ...flags, await compile(here(script)), ...args],
    ...turnDefaults,
  };
}

function here(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
