/**
 * What `kernels_in_chromium.ts` runs in the browser: small trainings with this library's kernels, on the backend that the
 * page's address names, and the same on cpu; or estimates of memory. Sends what it found to the server that the page came from.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import {setWasmPaths} from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-webgpu';
// Registers the gradients of all ops.
import '@tensorflow/tfjs-layers';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {OwLoreOptimizer, setThreads} from '../../src/index';
import {OwLoreOrthonormalize} from '../../src/kernels/kernel_names';
import * as wasmKernels from '../../src/kernels/wasm/index';
import {poolOf} from '../../src/kernels/wasm/parallel';
import {simdModule} from '../../src/kernels/wasm/simd_module';
import {ThreadPool} from '../../src/kernels/wasm/thread_pool';
import * as webgpuKernels from '../../src/kernels/webgpu/index';
import {createLlama, sparseCrossEntropy} from '../../src/llama/index';
import type {Moments} from '../../src/owlore/optimizer/state/state';
import {blockGramSchmidt} from '../../src/owlore/optimizer/state/orthonormalize';
import {projectedShape, type Projection} from '../../src/owlore/optimizer/state/projector';
import {estimates} from './estimates';
import {waitingModule} from '../../test/kernels/wasm/waiting_module';
import {composedUpdate, kernelUpdate, runKernel} from '../../tools/webgpu_updates';

/** What the page reports. */
export interface PageReport {
  /** The GPU, or the kind of memory. */
  runsOn: string;
  /** What WebGPU had to complain about: of shaders, bindings, sizes. */
  errors: string[];
  /** Losses on the cpu, and those with the kernels. */
  trainings: Array<{title: string; expected: number[]; actual: number[]; kernelCalls: number}>;
}

/** Of the page's address, or a worker's. */
const parameters = new URL(location.href).searchParams;

/** Losses of a training on the current backend. */
type Training = () => Promise<number[]>;

const STEPS = 12;
const RANK = 6;
const adam = {beta1: 0.9, beta2: 0.999, epsilon: 1e-8};
const RATE = 0.02;
const DECAY = 0.999;

/** Weights of a network of two layers, the first one taller than wide, the second wider than tall. */
function createWeights(): Record<'hidden' | 'bias' | 'output', tf.Variable> {
  const weight = (shape: number[], seed: number): tf.Variable =>
    tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, 0.2, 'float32', seed)));
  return {hidden: weight([37, 22], 1), bias: weight([22], 2), output: weight([22, 41], 3)};
}

/** A function of the weights that returns the loss on data that a network of the same kind has made. */
function createLoss(weights: ReturnType<typeof createWeights>): {
  loss(): tf.Scalar;
  dispose(): void;
} {
  const x = tf.randomNormal<tf.Rank.R2>([50, 37], 0, 1, 'float32', 4);
  const y = tf.tidy(() => {
    const hidden = tf.randomNormal<tf.Rank.R2>([37, 22], 0, 0.3, 'float32', 5);
    const output = tf.randomNormal<tf.Rank.R2>([22, 41], 0, 0.3, 'float32', 6);
    return tf.matMul(tf.tanh(tf.matMul(x, hidden)), output);
  });
  return {
    loss: () => {
      const {hidden, bias, output} = weights as unknown as Record<string, tf.Tensor2D>;
      const inner = tf.tanh(tf.add(tf.matMul(x, hidden!), bias!));
      return tf.mean(tf.squaredDifference(tf.matMul(inner as tf.Tensor2D, output!), y));
    },
    dispose: () => tf.dispose([x, y]),
  };
}

/** Updates by the kernels themselves, or composed of the same steps. */
function trainByHand(withKernels: boolean): Training {
  return async () => {
    const weights = createWeights();
    const {loss, dispose} = createLoss(weights);
    const states = Object.values(weights).map((variable) => createState(variable, withKernels));
    const losses: number[] = [];
    for (let step = 1; step <= STEPS; step++) {
      const value = tf.tidy(() => {
        const {value, grads} = tf.variableGrads(loss, Object.values(weights));
        for (const state of states) {
          update(state, grads[state.variable.name]!, step, withKernels);
        }
        return value;
      });
      losses.push((await value.data())[0]!);
      value.dispose();
    }
    for (const {basis, moments} of states) tf.dispose([basis, moments.first, moments.second]);
    tf.dispose(Object.values(weights));
    dispose();
    return losses;
  };
}

interface State {
  variable: tf.Variable;
  projection: Projection;
  /** Undefined for a variable that is not projected. */
  basis?: tf.Tensor2D | undefined;
  moments: Moments;
}

function createState(variable: tf.Variable, withKernels: boolean): State {
  const [rows, columns = 0] = variable.shape as [number, number?];
  const side = rows < columns ? 'right' : 'left';
  const projection: Projection = {rows, columns, rank: RANK, side};
  const shape = variable.rank === 2 ? projectedShape(projection) : variable.shape;
  const basis = tf.tidy(() => {
    if (variable.rank < 2) return [];
    const length = side === 'left' ? rows : columns;
    const matrix = tf.randomNormal<tf.Rank.R2>([length, RANK], 0, 1, 'float32', length);
    return [
      withKernels
        ? (runKernel(OwLoreOrthonormalize, {matrix})[0] as tf.Tensor2D)
        : blockGramSchmidt(matrix),
    ];
  })[0];
  const moments = {first: tf.zeros(shape), second: tf.zeros(shape)};
  return {variable, projection, basis, moments};
}

function update(state: State, gradient: tf.Tensor, step: number, withKernels: boolean): void {
  const {variable, projection, basis, moments} = state;
  const correction = Math.sqrt(1 - adam.beta2 ** step);
  const numbers = {
    ...adam,
    rate: (RATE * correction) / (1 - adam.beta1 ** step),
    epsilon: adam.epsilon * correction,
    decay: DECAY,
    side: projection.side,
  };
  const inputs = {...moments, variable, basis, gradient, allFinite: tf.scalar(true, 'bool')};
  const next = (withKernels ? kernelUpdate : composedUpdate)(inputs, numbers);
  tf.dispose([moments.first, moments.second]);
  state.moments = {first: tf.keep(next.first), second: tf.keep(next.second)};
  variable.assign(next.variable);
}

/** Updates by the optimizer, which refreshes its bases on the way. */
const trainByOptimizer: Training = async () => {
  const weights = createWeights();
  const {loss, dispose} = createLoss(weights);
  const optimizer = new OwLoreOptimizer({
    learningRate: RATE,
    rank: RANK,
    weightDecay: 0.01,
    clipNorm: 1,
    refreshInterval: 5,
  });
  const losses: number[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const value = optimizer.minimize(loss, true, Object.values(weights))!;
    losses.push((await value.data())[0]!);
    value.dispose();
  }
  optimizer.dispose();
  tf.dispose(Object.values(weights));
  dispose();
  return losses;
};

/** A language model of two blocks, two heads of keys for four of queries, in full. */
const trainLlama: Training = async () => {
  const model = createLlama({
    vocabSize: 30,
    hiddenSize: 16,
    intermediateSize: 20,
    numHiddenLayers: 2,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    maxPositionEmbeddings: 20,
    seed: 7,
  });
  const optimizer = new OwLoreOptimizer({learningRate: RATE, rank: RANK, refreshInterval: 5});
  model.compile({optimizer, loss: sparseCrossEntropy});
  const ids = tf.randomUniform([3, 20], 0, 30, 'int32', 8);
  const labels = tf.expandDims(ids, 2);
  const losses: number[] = [];
  for (let step = 1; step <= STEPS; step++) {
    losses.push((await model.trainOnBatch(ids, labels)) as number);
  }
  model.dispose();
  optimizer.dispose();
  tf.dispose([ids, labels]);
  return losses;
};

/** Counts the calls of this library's kernels. */
function watchKernels(backend: string): () => number {
  let calls = 0;
  for (const config of tf.getKernelsForBackend(backend)) {
    if (!config.kernelName.startsWith('OwLore')) continue;
    const {kernelFunc} = config;
    config.kernelFunc = (args) => {
      calls++;
      return kernelFunc(args);
    };
  }
  return () => calls;
}

type Trainings = ReadonlyArray<readonly [title: string, onCpu: Training, withKernels: Training]>;

async function compare(backend: string, trainings: Trainings): Promise<PageReport['trainings']> {
  const calls = watchKernels(backend);
  const found: PageReport['trainings'] = [];
  for (const [title, onCpu, withKernels] of trainings) {
    await tf.setBackend('cpu');
    const expected = await onCpu();
    await tf.setBackend(backend);
    const before = calls();
    const actual = await withKernels();
    found.push({title, expected, actual, kernelCalls: calls() - before});
  }
  return found;
}

const byOptimizer = ['OwLoreOptimizer', trainByOptimizer, trainByOptimizer] as const;

async function onWebgpu(): Promise<PageReport> {
  await tf.setBackend('webgpu');
  await webgpuKernels.installKernels();
  const {device} = tf.backend() as tf.KernelBackend & Pick<WebGPUBackend, 'device'>;
  const errors: string[] = [];
  device.addEventListener('uncapturederror', ({error}) => errors.push(error.message));
  const trainings = await compare('webgpu', [
    ['updates by the kernels', trainByHand(false), trainByHand(true)],
    byOptimizer,
  ]);
  await device.queue.onSubmittedWorkDone();
  const {vendor, architecture, description} = device.adapterInfo;
  const runsOn = [vendor, architecture, description].filter((part) => part !== '').join(' ');
  return {runsOn, errors, trainings};
}

async function onWasm(): Promise<PageReport> {
  setWasmPaths('/');
  await tf.setBackend('wasm');
  await wasmKernels.installKernels();
  const trainings = await compare('wasm', [byOptimizer, ['LLaMA', trainLlama, trainLlama]]);
  const {wasm} = tf.backend() as unknown as {wasm: {wasmMemory?: WebAssembly.Memory}}; // its inside
  // The binary for threads brings a memory that they can share, however many there are.
  const isShared =
    wasm.wasmMemory !== undefined && !(wasm.wasmMemory.buffer instanceof ArrayBuffer);
  return {
    runsOn: isShared ? 'memory shared by threads' : 'memory of one thread',
    errors: [],
    trainings,
  };
}

/** What a page reports of threads. */
export interface ThreadsReport {
  /** All weights after a training, as a hash of their bits. */
  digest: string;
  threads: number;
  /** How many calls were run by workers. */
  helped: number;
  isShared: boolean;
  /** What the console was told of threads. */
  said: string[];
}

/** A training that is large enough for threads, on as many as the address says. */
async function onThreads(): Promise<ThreadsReport> {
  const said: string[] = [];
  for (const level of ['info', 'warn'] as const)
    console[level] = (line: string) => {
      if (line.includes('thread')) said.push(line);
    };
  setThreads(Number(parameters.get('threads')));
  if (parameters.has('simd')) tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  setWasmPaths('/');
  await tf.setBackend('wasm');
  const model = createLlama({
    ...{vocabSize: 600, hiddenSize: 96, intermediateSize: 256, numHiddenLayers: 2, seed: 7},
    ...{numAttentionHeads: 6, numKeyValueHeads: 3, maxPositionEmbeddings: 64},
  });
  const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 16, refreshInterval: 4});
  await optimizer.ready();
  model.compile({optimizer, loss: sparseCrossEntropy});
  const tokens = Array.from({length: 4 * 61}, (_, i) => (i * i + 7 * i) % 600);
  const ids = tf.tensor2d(tokens, [4, 61], 'int32');
  const labels = tf.expandDims(ids, 2);
  const pool = poolOf(simdModule(tf.backend())!);
  while (pool && pool.work.workers < pool.threads - 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  for (let step = 0; step < STEPS; step++) await model.trainOnBatch(ids, labels);
  const weights = await Promise.all(model.getWeights().map(async (x) => [...(await x.data())]));
  const bytes = await crypto.subtle.digest('SHA-256', new Float32Array(weights.flat()));
  const {wasm} = tf.backend() as unknown as {wasm: {HEAPU8: Uint8Array}};
  return {
    digest: [...new Uint8Array(bytes)].join(),
    threads: pool?.threads ?? 1,
    helped: pool?.work.calls ?? 0,
    isShared: !(wasm.HEAPU8.buffer instanceof ArrayBuffer),
    said,
  };
}

/** What is thrown where a worker never comes back from a call. */
async function onStuck(): Promise<string> {
  const memory = new WebAssembly.Memory({initial: 1, maximum: 65536, shared: true});
  const words = new Int32Array(memory.buffer);
  const own = {scale: () => { while (Atomics.load(words, 1) + Atomics.load(words, 2) < 1); }}; // prettier-ignore
  const pool = new ThreadPool(own, {module: new WebAssembly.Module(waitingModule), memory}, [0], 500); // prettier-ignore
  while (pool.work.workers < 1) await new Promise((resolve) => setTimeout(resolve, 10));
  try {
    pool.run(
      'scale',
      {size: 1, factor: 1, y: 64},
      [4, 8].map((x) => ({x})),
    );
    return 'it came back';
  } catch (error) {
    return `${pool.threads} thread: ${(error as Error).message}`;
  }
}

/** What becomes of a backend where the page may not compile WebAssembly. */
async function onWithoutWasm(): Promise<string> {
  const said: string[] = [];
  console.warn = (line: unknown) => void said.push(String(line));
  console.error = console.warn;
  setWasmPaths('/');
  const isThere = await tf.setBackend('wasm');
  return `${isThere}: ${said.join('; ')}`;
}

async function send(path: string, body: unknown): Promise<void> {
  await fetch(path, {method: 'POST', body: JSON.stringify(body)});
}

async function fromEstimates(): Promise<ReturnType<typeof estimates>> {
  await tf.setBackend('cpu');
  return estimates();
}

const runs: Record<string, () => Promise<unknown>> = {
  ...{webgpu: onWebgpu, wasm: onWasm, estimates: fromEstimates, threads: onThreads},
  ...{stuck: onStuck, 'without wasm': onWithoutWasm},
};
const run = parameters.get('run')!;
runs[run]!().then(
  (report) => send('/report', report),
  (error: unknown) =>
    send('/error', error instanceof Error ? (error.stack ?? error.message) : String(error)),
);
