/**
 * Steps of OwLore on a real model with some of its blocks on, as a process that `npm run bench -- performance` gives its steps to.
 *
 *   tsx bench/contenders/smollm2_contender.ts '{"folder": "…", "backend": "tensorflow", "gradientCheckpointing": "auto", "batch": 4, "length": 128}'
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {startMemoryMeter} from '../../src/memory/meter';
import {roundProducts, type MatmulPrecision} from '../../src/cli/matmul_precision';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {serveSteps} from '../harness/serve_steps';
import {heapBytes} from '../harness/wasm_backend';

export interface Smollm2Options {
  /** The model's. */
  folder: string;
  backend: 'wasm' | 'tensorflow';
  gradientCheckpointing: NonNullable<OwLoreOptions['gradientCheckpointing']>;
  batch: number;
  length: number;
  /** Numbers of the blocks that are on. */
  on: readonly number[];
  /** Whether the embedding, which is the head, too, stays as it is. Default false. */
  frozenEmbedding?: boolean;
  rank: number;
  learningRate: number;
  matmulPrecision: MatmulPrecision;
}

const options = JSON.parse(process.argv[2]!) as Smollm2Options;

await serveSteps(async () => {
  const {folder, backend, gradientCheckpointing, batch, length, on, rank, learningRate} = options;
  if (options.matmulPrecision === 'medium') roundProducts();
  if (!(await loadBackend(backend))) return {needs: howToGet[backend]};
  await tf.setBackend(backend);
  const {model} = await loadLlama(folder, {headInLoss: true});
  for (const layer of model.layers) {
    const block = /^model\.layers\.(\d+)$/.exec(layer.name)?.[1];
    const isFrozenEmbedding = options.frozenEmbedding && layer.name === 'model.embed_tokens';
    if (block === undefined ? !isFrozenEmbedding : on.includes(Number(block))) continue;
    for (const weight of layer.weights) weight.trainable = false;
  }
  const optimizer = new OwLoreOptimizer({
    ...{learningRate, gradientCheckpointing, epsilon: 1e-8, project: /^model\.layers\./, rank},
    nonFinite: 'ignore',
  });
  model.compile({optimizer, loss: sparseCrossEntropy});
  const tokens = tf.tensor2d(tokenIds(batch, length + 1), [batch, length + 1], 'int32');
  const ids = tf.slice(tokens, [0, 0], [batch, length]);
  const labels = tf.expandDims(tf.slice(tokens, [0, 1], [batch, length]), 2);
  await optimizer.ready();
  const meter = startMemoryMeter();
  return {
    about: {parameters: model.countParams(), versions: {tfjs: tf.version_core}},
    step: async () => (await model.trainOnBatch(ids, labels)) as number,
    memory: () => ({tensors: meter.peak(), ...(backend === 'wasm' && {wasm: heapBytes()})}),
  };
});

/** The same as in pytorch_reference.py: numbers below 2 ** 15, by Knuth's multiplicative hash. */
function tokenIds(batch: number, length: number): Int32Array {
  return Int32Array.from({length: batch * length}, (_, i) => Math.imul(i + 1, 2654435761) >>> 17);
}
