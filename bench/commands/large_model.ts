/**
 * Time and memory of training a model of 1.24 billion parameters, of Llama-3.2-1B's shape, by `model.fitDataset`.
 *
 *   npm run bench -- large_model --folder FOLDER                             # on wasm, then on tensorflow; makes the checkpoint there
 *   npm run bench -- large_model --folder FOLDER --backends wasm --steps 3 --tokens 64
 *
 * OwLore with two of 16 blocks on at rank 128, other ones in each step, embedding and head frozen, and all that is frozen at 16 bits. The
 * checkpoint, 2.5 GB, is made at random where the folder has none; what a step costs does not depend on values. A folder with a
 * checkpoint of your own is taken as it is. Each backend is a process of its own. A batch is one sequence.
 */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {startMemoryMeter} from '../../src/memory/meter';
import {howToGet, loadBackend, type BackendName} from '../../tools/load_backend';
import {llama32of1B, writeRandomCheckpoint} from '../../tools/random_checkpoint';
import {peakResidentBytes} from '../harness/process_usage';
import {runApart} from '../harness/run_apart';
import {heapBytes} from '../harness/wasm_backend';

const MB = 1e6;
const EMBEDDING = ['model.embed_tokens', 'lm_head'];

const {values} = parseArgs({
  options: {
    folder: {type: 'string'},
    backends: {type: 'string', default: 'wasm,tensorflow'},
    steps: {type: 'string', default: '3'},
    tokens: {type: 'string', default: '64'},
    /** For the process of one backend. */
    alone: {type: 'boolean', default: false},
  },
});
const {folder, steps, tokens} = values;
if (folder === undefined)
  throw new Error('give --folder, where the checkpoint is or is to be made');
if (values.alone) await train(values.backends as BackendName);
else {
  if (!existsSync(join(folder, 'config.json'))) {
    console.log(`${folder}: making a checkpoint`);
    writeRandomCheckpoint(folder, llama32of1B);
  }
  for (const backends of values.backends.split(',')) {
    runApart(import.meta.url, {...values, backends, alone: true});
  }
}

async function train(backend: BackendName): Promise<void> {
  if (!(await loadBackend(backend))) {
    console.log(`${backend}: not there; ${howToGet[backend]}`);
    return;
  }
  await tf.setBackend(backend);
  const idle = process.memoryUsage().rss;
  const meter = startMemoryMeter();
  const report = (what: string): void => {
    const heap = backend === 'wasm' ? `, heap ${(heapBytes() / MB).toFixed(0)} MB` : '';
    console.log(
      `${backend}, ${what}: tensors ${(meter.current() / MB).toFixed(0)} MB, at most ${(meter.peak() / MB).toFixed(0)} MB${heap}; ` +
        `resident ${(process.memoryUsage().rss / MB).toFixed(0)} MB, at most ${(peakResidentBytes(process.pid)! / MB).toFixed(0)} MB`,
    );
    meter.reset();
  };
  console.log(`${backend}, idle: resident ${(idle / MB).toFixed(0)} MB`);
  let start = performance.now();
  const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1);
  const {model, config} = await loadLlama(folder!, {frozenDtype: 'BF16', headInLoss: true});
  const parameters = (model.countParams() / 1e9).toFixed(2);
  report(`${parameters} billion parameters loaded in ${seconds()} s`);
  for (const layer of model.layers) if (EMBEDDING.includes(layer.name)) layer.trainable = false;
  model.compile({optimizer: new OwLoreOptimizer({rank: 128}), loss: sparseCrossEntropy});
  const sampling = new LayerSamplingCallback({gamma: 2, interval: 1});
  const onEachStep = new tfl.CustomCallback({
    onBatchBegin: async () => void (start = performance.now()),
    onBatchEnd: async (batch, logs) => {
      const blocks = sampling.activeBlocks.join(' and ');
      report(`step ${batch + 1} in ${seconds()} s, loss ${logs!.loss!.toFixed(4)}, ${blocks} on`);
    },
  });
  const dataset = {size: NaN, iterator: async () => batches(config.vocabSize)};
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- tfjs calls its iterator alone
  await model.fitDataset(dataset, {
    ...{epochs: 1, batchesPerEpoch: Number(steps), verbose: 0},
    callbacks: [sampling, onEachStep],
  });
  meter.stop();
}

/** Sequences of random token ids, each labelled with the next. */
async function* batches(vocabulary: number): AsyncGenerator<{xs: tf.Tensor; ys: tf.Tensor}, void> {
  const length = Number(tokens);
  for (let i = 1; ; i++) {
    yield tf.tidy(() => {
      const ids = tf.randomUniform([1, length + 1], 0, vocabulary, 'int32', i);
      const from = (start: number): tf.Tensor => tf.slice(ids, [0, start], [1, length]);
      return {xs: from(0), ys: tf.expandDims(from(1), 2)};
    });
  }
}
