/**
 * What the wasm backend computes, in a process of its own, whose number of threads the environment says (OWLORE_THREADS). It says as JSON
 * what it was.
 *
 *   tsx test/kernels/wasm/threads_program.ts TASK [FOLDER STEPS]
 */
import {createHash} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import '../../../src/preload/llama';
import {
  OwLoreOptimizer,
  outlierScores,
  resumeCheckpoint,
  saveCheckpoint,
  variableGrads,
} from '../../../src';
import {
  createLlama,
  generate,
  generateBatch,
  loadLlama,
  saveLlama,
  sparseCrossEntropy,
  type LlamaConfig,
} from '../../../src/llama';
import {toBfloat16} from '../../../src/files/half_precision';
import {OwLorePackedMatMul} from '../../../src/kernels/llama/kernel_names';
import {runKernel} from '../../../src/kernels/run_kernel';
import {installKernels} from '../../../src/kernels/wasm';
import {Oversubscription} from '../../../src/kernels/wasm/oversubscription';
import {poolOf} from '../../../src/kernels/wasm/parallel';
import {simdModule} from '../../../src/kernels/wasm/simd_module';
import type {ThreadPool} from '../../../src/kernels/wasm/thread_pool';
import {WORD} from '../../../src/kernels/wasm/thread_worker';
import {createRandom} from '../../../src/common/random';
import {Decoder} from '../../../src/llama/generation/decoder';
import {loadBackend} from '../../../tools/load_backend';

/** What the process says. */
export interface ThreadsRun {
  /** What each part has computed, as a hash of the bits, or what it said. */
  results: Record<string, string>;
  /** How many threads there were, and how many calls those have run that did not call. */
  threads: number;
  helped: number;
}

const pool = (): ThreadPool | undefined => poolOf(simdModule(tf.backend())!);

let hash = createHash('sha256');
async function add(x: tf.Tensor): Promise<void> {
  const values = await x.data();
  hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}
function taken(): string {
  const digest = hash.digest('hex');
  hash = createHash('sha256');
  return digest;
}

const small = {
  ...{vocabSize: 700, hiddenSize: 96, intermediateSize: 256, numHiddenLayers: 3},
  ...{numAttentionHeads: 6, numKeyValueHeads: 3, maxPositionEmbeddings: 256, seed: 1},
};

/** Token ids that need no generator of the backend. */
function tokens(shape: [number, number], vocab: number, seed: number): tf.Tensor2D {
  const random = createRandom(seed);
  const ids = Array.from({length: shape[0] * shape[1]}, () => Math.floor(vocab * random.next()));
  return tf.tensor2d(ids, shape, 'int32');
}

/** Trains, and adds all weights. With a folder it goes on from the checkpoint there, and leaves one. */
async function train(
  config: Partial<LlamaConfig>,
  options: ConstructorParameters<typeof OwLoreOptimizer>[0],
  steps = 4,
  folder?: string,
): Promise<void> {
  const model = createLlama({...small, ...config});
  const optimizer = new OwLoreOptimizer({learningRate: 1e-3, ...options});
  await optimizer.ready();
  const resumed = folder ? await resumeCheckpoint(folder, {model, optimizer}) : null;
  for (let step = resumed?.step ?? 0; step < steps; step++) {
    const ids = tokens([4, 61], small.vocabSize, step);
    const labels = tf.expandDims(ids, 2);
    optimizer.minimize(() =>
      sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor),
    );
    tf.dispose([ids, labels]);
  }
  if (folder) await saveCheckpoint(folder, {model, optimizer});
  for (const weight of model.getWeights()) await add(weight);
  optimizer.dispose();
  model.dispose();
}

/** What a task does; it may return what it has to say. */
const tasks: Record<string, () => Promise<unknown>> = {
  full: () => train({}, {project: false}),
  owlore: () => train({}, {rank: 16, refreshInterval: 2}),
  checkpointing: () => train({}, {rank: 16, gradientCheckpointing: 'blocks' as never}),
  'head in loss': () => train({headInLoss: true, tieWordEmbeddings: true}, {rank: 16}),
  accumulated: () => train({}, {rank: 16, accumulate: 2, clipNorm: 1}),
  /** Gradients of models of random shapes, not multiples of anything. */
  async shapes() {
    const random = createRandom(7);
    const from = (min: number, max: number): number =>
      min + Math.floor(random.next() * (max - min + 1));
    for (let i = 0; i < 12; i++) {
      const [keyHeads, group, width] = [from(1, 3), from(1, 3), 2 * from(4, 20)];
      const vocabSize = from(300, 900);
      const model = createLlama({
        ...{vocabSize, hiddenSize: keyHeads * group * width, intermediateSize: from(60, 300)},
        ...{numHiddenLayers: 1, numAttentionHeads: keyHeads * group, numKeyValueHeads: keyHeads},
        ...{maxPositionEmbeddings: 256, seed: i + 1, attentionBias: i % 2 === 0},
      });
      const ids = tokens([from(1, 5), from(3, 97)], vocabSize, i);
      const labels = tf.expandDims(ids, 2);
      const {value, grads} = variableGrads(() =>
        sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor),
      );
      for (const x of [value, ...Object.values(grads)]) await add(x);
      tf.dispose([ids, labels, value, grads]);
      model.dispose();
    }
  },
  /** Products of all kinds, also of few rows and of stacks. */
  async products() {
    const random = createRandom(8);
    const from = (min: number, max: number): number =>
      min + Math.floor(random.next() * (max - min + 1));
    for (let i = 0; i < 60; i++) {
      const few = i % 3 === 0;
      const rows = few ? from(1, 12) : from(9, 300);
      const [inner, columns] = few ? [from(300, 800), from(400, 900)] : [from(1, 300), from(1, 300)]; // prettier-ignore
      const [transposeA, transposeB] = [i % 2 === 0, i % 4 < 2];
      const stack = i % 5 === 0 ? [from(1, 4)] : [];
      const a = tf.randomNormal([...stack, ...(transposeA ? [inner, rows] : [rows, inner])], 0, 1, 'float32', 2 * i + 1); // prettier-ignore
      const b = tf.randomNormal(transposeB ? [columns, inner] : [inner, columns], 0, 1, 'float32', 2 * i + 2); // prettier-ignore
      const y = tf.matMul(a, b, transposeA, transposeB);
      await add(y);
      tf.dispose([a, b, y]);
    }
    // of a row and of eight, with more columns than have room among the sums of sections
    for (const rows of [1, 8]) {
      const [inner, columns] = [300, rows === 1 ? 900 : 5000];
      const a = tf.randomNormal([rows, inner], 0, 1, 'float32', rows);
      const b = tf.randomNormal([inner, columns], 0, 1, 'float32', rows + 1);
      const packed = tf.tensor1d(
        new Int32Array(toBfloat16(b.dataSync() as Float32Array).buffer),
        'int32',
      );
      const shape = [inner, columns];
      const [y] = runKernel(OwLorePackedMatMul, {x: a, packed}, {shape, transposed: false})!;
      const whole = tf.matMul(a, b);
      for (const x of [y!, whole]) await add(x);
      tf.dispose([a, b, packed, y!, whole]);
    }
  },
  /** What is copied, set and converted, also by kernels of tfjs: aligned and not, a few numbers and many. */
  async copies() {
    await installKernels();
    const copied = (n: number): tf.Tensor[] =>
      tf.tidy(() => {
        const x = tf.tensor2d(
          Float32Array.from({length: 5 * n}, (_, i) => Math.fround(i / 7) - n),
          [5, n],
        );
        const ids = tf.tensor1d(
          Int32Array.from({length: n}, (_, i) => 2 ** 24 + 3 * i),
          'int32',
        );
        const y = tf.pad(x, [[0, 0], [1, 2]], 3); // prettier-ignore
        return [
          ...[tf.concat([x, y, x], 1), tf.stack([x, x]), tf.slice(y, [1, 1], [3, n - 1]), tf.slice(y, [2, 0])],
          ...[tf.gather(y, [3, 0, 3]), tf.fill([3, n], -0), tf.fill([n], 1e-42), tf.fill([n], NaN)],
          ...[tf.fill([n], -7, 'int32'), tf.zerosLike(x), tf.onesLike(ids), tf.cast(ids, 'float32')],
          ...[tf.cast(x, 'int32'), tf.cast(tf.greater(x, 0), 'float32'), tf.concat([ids, ids]), tf.clone(x)],
          ...[tf.add(x, x), tf.add(x, 1), tf.squaredDifference(x, tf.mean(x)), ...tf.split(y, [1, n + 2], 1)],
        ];
      }); // prettier-ignore
    for (const n of [1, 2, 3, 7, 31, 33, 100, 4097, 200_003]) {
      const results = copied(n);
      for (const x of results) await add(x);
      tf.dispose(results);
    }
  },
  async generation() {
    const files = new Map<string, Uint8Array>();
    const made = createLlama({...small, hiddenSize: 384, intermediateSize: 1024});
    await saveLlama(made, files, {dtype: 'BF16'});
    made.dispose();
    for (const frozenDtype of ['F32', 'BF16'] as const) {
      const {model} = await loadLlama(files, {frozenDtype});
      // long enough for the attention of eight texts to be shared out
      const prompts = Array.from({length: 8}, (_, i) =>
        Array.from({length: 90 + i}, (__, j) => (i * j + 3) % small.vocabSize),
      );
      const texts = await generateBatch(model, prompts, {maxNewTokens: 12});
      texts.push(await generate(model, prompts[0]!, {maxNewTokens: 12}));
      for (const {ids} of texts) hash.update(Int32Array.from(ids));
      await addLogits(model, prompts);
      model.dispose();
    }
  },
  async scores() {
    const model = createLlama({...small, hiddenSize: 384, intermediateSize: 1024});
    const ids = tokens([4, 40], small.vocabSize, 3);
    const {scores} = (await outlierScores(model, [ids])) as {scores?: number[]};
    ids.dispose();
    model.dispose();
    return JSON.stringify(scores);
  },
};

/** The logits after prompts and a token more, of all prompts together. */
async function addLogits(model: tfl.LayersModel, prompts: readonly number[][]): Promise<void> {
  const decoders = prompts.map(() => new Decoder(model));
  tf.dispose(decoders.map((decoder, i) => decoder.read(prompts[i]!)));
  const [all, ...others] = decoders;
  for (const other of others) all!.join(other);
  const logits = all!.readEach(prompts.map(([id]) => id!));
  await add(logits);
  logits.dispose();
  all!.dispose();
}

/** Does what fails, and trains after that. Returns the error, and what was trained. */
async function failsOnce(what: () => void): Promise<string> {
  try {
    tf.tidy(what);
  } catch (error) {
    hash = createHash('sha256');
    await tasks['full']!();
    return `${(error as Error).message}; ${taken()}`;
  }
  return 'it has not failed';
}

/** What goes wrong, or on. */
const troubles: Record<string, () => Promise<unknown>> = {
  'a training that goes on'() {
    const [, folder, steps] = process.argv.slice(2);
    return train({}, {rank: 16, refreshInterval: 2}, Number(steps), folder);
  },
  async 'a worker that is killed'() {
    await tasks['full']!();
    const {workers} = pool() as unknown as {workers: Array<{terminate(): Promise<number>}>};
    await workers[0]!.terminate();
    await sleep(50);
    hash = createHash('sha256');
    await tasks['full']!();
  },
  async 'a worker that dies in a call'() {
    await tasks['full']!();
    const inside = pool() as unknown as {
      workers: Array<{terminate(): unknown}>;
      own: Record<string, (...args: number[]) => number>;
      words: Int32Array;
    };
    const {own, workers, words} = inside;
    const multiply = (...args: number[]): number => {
      const areTaken = (word: number): boolean => (word & 255) === ((word >>> 8) & 255);
      while (!areTaken(Atomics.load(words, WORD.next)));
      void workers[0]!.terminate();
      return own['multiply']!(...args);
    };
    inside.own = {...own, multiply};
    return failsOnce(() => {
      const a = tf.ones<tf.Rank.R2>([4000, 1000]);
      tf.matMul(a, a, true).dispose();
    });
  },
  async 'other programs beside a decoder'() {
    const model = createLlama({...small, hiddenSize: 384, intermediateSize: 1024});
    const calls = (): number => pool()?.work.calls ?? 0;
    const written = async (isOn: boolean): Promise<string> => {
      Object.defineProperty(Oversubscription.prototype, 'isOn', {get: () => isOn});
      const before = calls();
      // where the processors are busy, a worker may come too late to take a part of a few small products
      for (let tries = 1; ; tries++) {
        const {ids} = await generate(model, [3], {maxNewTokens: 12});
        const isWith = calls() > before;
        if (isWith || isOn || pool() === null || tries === 30)
          return `${ids.join(' ')}, ${isWith ? 'with' : 'without'} workers`;
      }
    };
    return `${await written(false)}; ${await written(true)}`;
  },
  async 'a function that traps'() {
    await tasks['full']!();
    const beyond = 2 ** 31;
    return failsOnce(() => {
      simdModule(tf.backend())!.scale({x: beyond, size: 2 ** 20, factor: 1, y: beyond});
    });
  },
  async 'two trainings side by side'() {
    const {Worker} = await import('node:worker_threads');
    const [, program] = process.argv;
    const runs = [1, 2].map(
      () =>
        new Promise<string>((resolve, reject) => {
          const worker = new Worker(program!, {argv: ['owlore'], stdout: true});
          let text = '';
          worker.stdout.on('data', (part: Buffer) => (text += String(part)));
          worker.on('error', reject);
          worker.on('exit', () => resolve((JSON.parse(text) as ThreadsRun).results['owlore']!));
        }),
    );
    return (await Promise.all(runs)).join();
  },
  async 'another backend'() {
    for (let i = 0; i < 3; i++) {
      await tasks['full']!();
      const {workers} = (pool() ?? {workers: []}) as unknown as {
        workers: Array<{terminate(): Promise<number>}>;
      };
      tf.removeBackend('wasm');
      for (const worker of workers) await worker.terminate(); // until it has ended
      const {factory, priority} = stock;
      tf.registerBackend('wasm', factory, priority);
      await tf.setBackend('wasm');
    }
    await tasks['full']!();
  },
  async 'memory that grows'() {
    const wasm = (tf.backend() as unknown as {wasm: {_malloc(bytes: number): number}}).wasm;
    for (let i = 0; i < 8; i++) {
      await train({}, {rank: 16}, 1);
      wasm._malloc(3e7);
    }
  },
  async 'process.exit in a step'() {
    await tasks['full']!();
    tf.customGrad((x) => {
      console.log(JSON.stringify(await0()));
      process.exit(7);
      return {value: x as tf.Tensor, gradFunc: () => x as tf.Tensor};
    })(tf.scalar(1));
  },
};
const await0 = (): ThreadsRun => ({results: {}, threads: pool()?.threads ?? 1, helped: 0});

await loadBackend('wasm');
const stock = tf.engine().registryFactory['wasm'] as {
  factory: () => tf.KernelBackend | Promise<tf.KernelBackend>;
  priority: number;
};
await tf.setBackend('wasm');
const [wanted = 'all'] = process.argv.slice(2);
const results: Record<string, string> = {};
for (const [name, task] of Object.entries({...tasks, ...troubles})) {
  if (wanted === 'all' ? !(name in tasks) : !wanted.split(',').includes(name)) continue;
  // workers take a while to start
  for (let i = 0; i < 100 && (pool()?.work.workers ?? 9) < (pool()?.threads ?? 1) - 1; i++)
    await sleep(20);
  const said = await task();
  results[name] = typeof said === 'string' ? said : taken();
}
results['heap'] = (tf.backend() as BackendWasm & {wasm: {HEAPU8: Uint8Array}}).wasm.HEAPU8.buffer.constructor.name; // prettier-ignore
results['instantiate'] = String(String(WebAssembly.instantiate).includes('[native code]'));
console.log(
  JSON.stringify({
    ...{results, threads: pool()?.threads ?? 1, helped: pool()?.work.calls ?? 0},
  } satisfies ThreadsRun),
);
