/**
 * Steps of random models and products on wasm, in a process of its own. For each line that it gets it makes a round, and says as JSON what
 * that computed and what it holds:
 *
 *   node --expose-gc --import tsx test/soak/threads.ts SEED THREADS…
 *
 * A round is drawn from the seed and its number alone. After every {@link ROUNDS} of them comes another backend, whose memory is small again
 * and grows while its workers run, on the next of the numbers of threads.
 */
import {createHash} from 'node:crypto';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import '../../src/preload/llama';
import {OwLoreOptimizer, setThreads} from '../../src';
import {createRandom} from '../../src/common/random';
import {installKernels} from '../../src/kernels/wasm';
import {poolOf} from '../../src/kernels/wasm/parallel';
import {simdModule} from '../../src/kernels/wasm/simd_module';
import {createLlama, generateBatch, sparseCrossEntropy} from '../../src/llama';
import {loadBackend} from '../../tools/load_backend';
import type {Sample} from './samples';

/** What a round says. */
export interface ThreadsSample extends Sample {
  /** A hash of the bits that were computed. */
  digest: string;
  threads: number;
  /** How many calls workers have run since the backend was made. */
  helped: number;
  /** Bytes of the backend's memory. */
  heap: number;
}

/** Rounds by one backend. */
const ROUNDS = 20;

/** Bytes that a round may take from the heap and never give back, so that it grows. */
const [LEAST, MOST] = [1e6, 4e7];

/** How long garbage that workers of the backend before have held takes to go, in milliseconds. */
const REST_MS = 200;

interface Drawn {
  from(min: number, max: number): number;
  oneOf<const Choices extends readonly unknown[]>(...choices: Choices): Choices[number];
}

let hash = createHash('sha256');
async function add(...all: tf.Tensor[]): Promise<void> {
  for (const x of all) {
    const values = await x.data();
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
}

/** What a round may be. */
const kinds = {
  async training({from, oneOf}: Drawn): Promise<void> {
    const [keyHeads, group, width] = [from(1, 3), from(1, 3), 2 * from(4, 24)];
    const vocabSize = from(200, 900);
    const model = createLlama({
      ...{vocabSize, hiddenSize: keyHeads * group * width, intermediateSize: from(60, 400)},
      ...{numHiddenLayers: from(1, 3), numAttentionHeads: keyHeads * group},
      ...{numKeyValueHeads: keyHeads, maxPositionEmbeddings: 128, seed: from(1, 1e6)},
      ...{attentionBias: oneOf(true, false), tieWordEmbeddings: oneOf(true, false)},
      headInLoss: oneOf(true, false),
    });
    const optimizer = new OwLoreOptimizer({
      ...{learningRate: 1e-3, rank: from(1, 16), refreshInterval: 2, project: oneOf('auto', false)},
      ...{clipNorm: oneOf(null, 1), gradientCheckpointing: oneOf('none', 'blocks')},
    });
    await optimizer.ready();
    for (let step = from(1, 3); step > 0; step--) {
      const shape: [number, number] = [from(1, 6), from(3, 120)];
      const ids = tf.tensor2d(Array.from({length: shape[0] * shape[1]}, () => from(0, vocabSize - 1)), shape, 'int32'); // prettier-ignore
      const labels = tf.expandDims(ids, 2);
      const loss = optimizer.minimize(
        () => sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor),
        true,
      )!;
      await add(loss);
      tf.dispose([ids, labels, loss]);
    }
    await add(...model.getWeights());
    optimizer.dispose();
    model.dispose();
  },
  async products({from, oneOf}: Drawn): Promise<void> {
    for (let i = 0; i < 8; i++) {
      const isLow = oneOf(true, false);
      const [rows, inner, columns] = isLow
        ? [from(1, 12), from(200, 900), from(300, 1000)]
        : [from(9, 400), from(1, 400), from(1, 400)];
      const [transposeA, transposeB] = [oneOf(true, false), oneOf(true, false)];
      const stack = oneOf([], [], [from(1, 4)]);
      const normal = (shape: number[]): tf.Tensor =>
        tf.randomNormal([...stack, ...shape], 0, 1, 'float32', from(1, 1e6));
      const a = normal(transposeA ? [inner, rows] : [rows, inner]);
      const b = normal(transposeB ? [columns, inner] : [inner, columns]);
      const y = tf.matMul(a, b, transposeA, transposeB);
      await add(y);
      tf.dispose([a, b, y]);
    }
  },
  async generation({from}: Drawn): Promise<void> {
    const [vocabSize, width] = [from(300, 700), 2 * from(16, 32)];
    const model = createLlama({
      ...{vocabSize, hiddenSize: 6 * width, intermediateSize: from(500, 1100)},
      ...{numHiddenLayers: 2, numAttentionHeads: 6, numKeyValueHeads: 3},
      ...{maxPositionEmbeddings: 128, seed: from(1, 1e6)},
    });
    const prompts = Array.from({length: from(1, 8)}, () =>
      Array.from({length: from(1, 100)}, () => from(0, vocabSize - 1)),
    );
    for (const {ids} of await generateBatch(model, prompts, {maxNewTokens: 8}))
      hash.update(Int32Array.from(ids));
    model.dispose();
  },
};

interface Wasm {
  _malloc(bytes: number): number;
  HEAPU8: Uint8Array;
}
const heap = (): Wasm => (tf.backend() as unknown as {wasm: Wasm}).wasm; // its inside

/** Memory of the process without a backend. */
async function residentMemory(): Promise<number> {
  // twice, with time between, for what is freed when something else was
  for (let i = 0; i < 2; i++) {
    globalThis.gc!();
    await sleep(REST_MS);
  }
  return process.memoryUsage.rss();
}

/** Makes a backend on that many threads, after the one before has gone. Returns the resident memory between the two. */
async function renewBackend(threads: number): Promise<number> {
  tf.removeBackend('wasm');
  const rss = await residentMemory();
  setThreads(threads);
  tf.registerBackend('wasm', stock.factory, stock.priority);
  await tf.setBackend('wasm');
  return rss;
}

const [seed, ...counts] = process.argv.slice(2).map(Number) as [number, ...number[]];
console.info = () => undefined;
await loadBackend('wasm');
await installKernels(); // a first round of products alone would not
const stock = tf.engine().registryFactory['wasm'] as {
  factory: () => tf.KernelBackend | Promise<tf.KernelBackend>;
  priority: number;
};
let [step, rss] = [0, 0];
for await (const _ of createInterface({input: process.stdin})) {
  const threads = counts[Math.floor(step / ROUNDS) % counts.length]!;
  if (step % ROUNDS === 0) rss = await renewBackend(threads);
  const random = createRandom((seed + Math.imul(step++, 0x9e3779b1)) >>> 0);
  const from = (min: number, max: number): number =>
    min + Math.floor(random.next() * (max - min + 1));
  const oneOf: Drawn['oneOf'] = (...choices) => choices[from(0, choices.length - 1)];
  if (heap()._malloc(from(LEAST, MOST)) === 0) throw new Error('the heap is full');
  await oneOf(...Object.values(kinds))({from, oneOf});
  const {numTensors, numBytes} = tf.memory();
  const pool = poolOf(simdModule(tf.backend())!);
  if ((pool?.threads ?? 1) !== threads) throw new Error(`step ${step}: a worker has ended`);
  const sample: ThreadsSample = {
    ...{step, tensors: numTensors, bytes: numBytes, data: tf.engine().backend.numDataIds(), rss},
    ...{digest: hash.digest('hex'), threads: pool?.threads ?? 1, helped: pool?.work.calls ?? 0},
    heap: heap().HEAPU8.length,
  };
  hash = createHash('sha256');
  process.stdout.write(`${JSON.stringify(sample)}\n`);
}
