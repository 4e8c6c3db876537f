/**
 * A long training in a process of its own, which says as JSON, a line each, what it holds at equal places of its cycles:
 *
 *   node --expose-gc --import tsx test/soak/training.ts BACKEND STEPS llama|convolution owlore|adam
 *
 * With `owlore` two of four blocks train for 50 steps each, bases are refreshed every 20, and each 100th step is saved, three
 * checkpoints staying. After each tenth of the steps `fit` ends and the training goes on from the newest checkpoint, in the same
 * objects. With `adam` tfjs's own optimizer trains the same model on the same data, without callback or checkpoints.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  CheckpointCallback,
  LayerSamplingCallback,
  OwLoreOptimizer,
  resumeCheckpoint,
} from '../../src/index';
import {createLlama, sparseCrossEntropy} from '../../src/llama';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import type {Sample} from './samples';

const BLOCKS = 4;
/** Steps of a period, from one refresh of the bases to the next, and from one checkpoint to the next. */
const [INTERVAL, REFRESH, SAVE] = [50, 20, 100];
/** Parts of the training, each a `fit`. */
const FITS = 10;

interface Batch {
  xs: tf.Tensor;
  ys: tf.Tensor;
}

/** Random batches, which know their place. */
class Batches {
  private position = 0;

  constructor(private readonly draw: (seed: number) => Batch) {}

  async iterator(): Promise<AsyncGenerator<Batch, void>> {
    return this.batches();
  }

  state(): number {
    return this.position;
  }

  restore(state: unknown): void {
    this.position = state as number;
  }

  private async *batches(): AsyncGenerator<Batch, void> {
    for (;;) yield this.draw(1 + this.position++);
  }
}

/** Models whose blocks are equal, with their data. */
const models = {
  llama: {
    loss: sparseCrossEntropy,
    blocks: 'auto',
    make: () =>
      createLlama({
        ...{vocabSize: 64, hiddenSize: 32, intermediateSize: 48, numHiddenLayers: BLOCKS},
        ...{numAttentionHeads: 4, numKeyValueHeads: 2, maxPositionEmbeddings: 16, seed: 1},
      }),
    draw: (seed: number): Batch => ({
      xs: tf.randomUniform([2, 8], 0, 64, 'int32', seed),
      ys: tf.randomUniform([2, 8, 1], 0, 64, 'int32', seed + 1),
    }),
  },
  convolution: {
    loss: 'meanSquaredError',
    blocks: /^block/,
    make: () => {
      const model = tfl.sequential();
      const shape = {kernelSize: 3, padding: 'same', activation: 'relu'} as const;
      model.add(tfl.layers.conv2d({...shape, filters: 8, inputShape: [8, 8, 2]}));
      for (let i = 0; i < BLOCKS; i++) {
        model.add(tfl.layers.conv2d({...shape, name: `block${i}`, filters: 8}));
      }
      model.add(tfl.layers.maxPooling2d({poolSize: 2}));
      model.add(tfl.layers.flatten());
      model.add(tfl.layers.dense({units: 4}));
      return model;
    },
    draw: (seed: number): Batch => ({
      xs: tf.randomUniform([4, 8, 8, 2], -1, 1, 'float32', seed),
      ys: tf.randomUniform([4, 4], -1, 1, 'float32', seed + 1),
    }),
  },
} as const;

const [backend, count, kind, optimizerName] = process.argv.slice(2) as [
  ...[BackendName, string, keyof typeof models, 'owlore' | 'adam'],
];
const steps = Number(count);
if (!(await loadBackend(backend))) throw new Error(`there is no backend '${backend}' here`);
await tf.setBackend(backend);
console.info = () => undefined;

const {make, draw, loss, blocks} = models[kind];
const model = make();
const data = new Batches(draw);
const folder = mkdtempSync(join(tmpdir(), 'owlore-soak-'));

/** Says what the process holds, at the end of every 100th batch. */
class Probe extends tfl.Callback {
  private step = 0;

  override async onBatchEnd(): Promise<void> {
    if (++this.step % SAVE !== 0) return;
    // twice, with a turn of the event loop between, for what is freed when something else was
    for (let i = 0; i < 2; i++) {
      globalThis.gc!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const {numTensors, numBytes} = tf.memory();
    const sample: Sample = {
      ...{step: this.step, tensors: numTensors, bytes: numBytes},
      data: tf.engine().backend.numDataIds(),
      rss: process.memoryUsage.rss(),
    };
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  }
}

try {
  const probe = new Probe();
  if (optimizerName === 'adam') await train(tf.train.adam(1e-3), [probe], async () => undefined);
  else {
    const optimizer = new OwLoreOptimizer({
      ...{learningRate: 1e-3, rank: 4, refreshInterval: REFRESH},
    });
    const callback = new LayerSamplingCallback({gamma: 2, interval: INTERVAL, blocks});
    const saving = new CheckpointCallback({target: folder, callback, data, every: SAVE, keep: 3});
    await train(optimizer, [callback, saving, probe], async () => {
      await resumeCheckpoint(folder, {model, optimizer, callback, data});
    });
  }
} finally {
  rmSync(folder, {recursive: true});
}

async function train(
  optimizer: tf.Optimizer,
  callbacks: tfl.Callback[],
  between: () => Promise<void>,
): Promise<void> {
  model.compile({optimizer, loss});
  for (let i = 0; i < FITS; i++) {
    await model.fitDataset(data as never, {
      ...{epochs: 1, batchesPerEpoch: steps / FITS, verbose: 0, callbacks},
    });
    await between();
  }
}
