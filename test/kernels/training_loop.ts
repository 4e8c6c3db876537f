/**
 * A training in a process of its own, for tests of what a program sees that imports the optimizer and nothing else of this
 * library's: steps of `trainOnBatch` in a loop that awaits nothing but them, or yields after each. It says as JSON what it was.
 *
 *   tsx test/kernels/training_loop.ts BACKEND STEPS awaits|yields [FILE_TO_START_FROM [FILE_TO_SAVE_TO]]    '' is no file
 */
import {readFileSync, writeFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import {OwLoreOptimizer} from '../../src';
import {createLlama, sparseCrossEntropy} from '../../src/llama';

/** What the process says of its steps. */
export interface TrainingLoop {
  losses: number[];
  /** Of each step: how often each of this library's own kernels ran. */
  kernels: Array<Record<string, number>>;
  /** Whether the event loop turned between the first step and the last one. */
  turned: boolean;
  /** All weights, in Base64. */
  weights: string;
}

type NamedTensors = Awaited<ReturnType<tf.Optimizer['getWeights']>>;

const [name, steps, kind, from, to] = process.argv.slice(2) as [
  ...[BackendName, string, 'awaits' | 'yields'],
  ...[string?, string?],
];
await loadBackend(name);
await tf.setBackend(name);

const model = createLlama({
  ...{vocabSize: 32, hiddenSize: 24, intermediateSize: 40, numHiddenLayers: 2},
  ...{numAttentionHeads: 2, maxPositionEmbeddings: 16, seed: 1},
});
const optimizer = new OwLoreOptimizer({learningRate: 1e-2, rank: 4, refreshInterval: 4});
model.compile({optimizer, loss: sparseCrossEntropy});
if (from) await load(from);

const calls = new Map<string, number>();
const engine = tf.engine();
const runKernel = engine.runKernel.bind(engine);
engine.runKernel = (kernel, ...args) => {
  if (kernel.startsWith('OwLore')) calls.set(kernel, (calls.get(kernel) ?? 0) + 1);
  return runKernel<never>(kernel, ...args);
};

const ids = Array.from({length: 4 * 16}, (_, i) => (i * i + 3 * i) % 32);
const x = tf.tensor2d(ids, [4, 16], 'int32');
const y = tf.tensor3d([...ids.slice(1), 0], [4, 16, 1], 'int32');
const loop: TrainingLoop = {losses: [], kernels: [], turned: false, weights: ''};
const turn = setImmediate(() => (loop.turned = true));
for (let step = 0; step < Number(steps); step++) {
  calls.clear();
  loop.losses.push((await model.trainOnBatch(x, y)) as number);
  loop.kernels.push(Object.fromEntries(calls));
  if (kind === 'yields') await new Promise((resolve) => setTimeout(resolve, 50));
}
clearImmediate(turn);
if (to) await save(to);
const {data} = await tf.io.encodeWeights(namedWeights());
loop.weights = Buffer.from(data).toString('base64');
console.log(JSON.stringify(loop));

function namedWeights(): NamedTensors {
  return model.getWeights().map((tensor, i) => ({name: `${i}`, tensor}));
}

async function save(file: string): Promise<void> {
  const modelWeights = await tf.io.encodeWeights(namedWeights());
  const optimizerWeights = await tf.io.encodeWeights(await optimizer.getWeights());
  const parts = [modelWeights, optimizerWeights].map(({data, specs}) => ({
    specs,
    data: Buffer.from(data).toString('base64'),
  }));
  writeFileSync(file, JSON.stringify(parts));
}

async function load(file: string): Promise<void> {
  const parts = JSON.parse(readFileSync(file, 'utf8')) as Array<{
    specs: tf.io.WeightsManifestEntry[];
    data: string;
  }>;
  const [modelWeights, optimizerWeights] = parts.map(({specs, data}): NamedTensors => {
    const tensors = tf.io.decodeWeights(new Uint8Array(Buffer.from(data, 'base64')).buffer, specs);
    return specs.map(({name}) => ({name, tensor: tensors[name]!}));
  });
  model.setWeights(modelWeights!.map(({tensor}) => tensor));
  await optimizer.setWeights(optimizerWeights!);
}
