/**
 * A checkpoint of a folder, fine-tuned, as a process that `npm run bench -- large_checkpoint` gives its steps to.
 *
 *   tsx bench/contenders/large_contender.ts '{"folder": "…", "backend": "wasm", "training": "owlore", "tokens": 256}'
 */
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {startMemoryMeter} from '../../src/memory/meter';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src';
import {installKernels as installForTensorflow} from '../../src/kernels/tensorflow';
import {installKernels as installForWasm} from '../../src/kernels/wasm';
import {loadLlama, sparseCrossEntropy} from '../../src/llama';
import {serveSteps} from '../harness/serve_steps';
import {heapBytes} from '../harness/wasm_backend';

export interface LargeOptions {
  folder: string;
  backend: 'wasm' | 'tensorflow';
  /** OwLore, full fine-tuning by this library's optimizer, or by `tf.train.adam`. */
  training: 'owlore' | 'full' | 'stock';
  /** In the one sequence of a batch. */
  tokens: number;
}

const LEARNING_RATE = 1e-4;
const BLOCKS_ON = 2;
/** Steps with the same blocks, so that 20 steps see blocks change. */
const INTERVAL = 10;

const {folder, backend, training, tokens} = JSON.parse(process.argv[2]!) as LargeOptions;

await serveSteps(async () => {
  if (!(await loadBackend(backend))) return {needs: howToGet[backend]};
  await tf.setBackend(backend);
  await (backend === 'wasm' ? installForWasm() : installForTensorflow());
  const meter = startMemoryMeter();
  const {model, config} = await loadLlama(folder);
  model.compile({optimizer: createOptimizer(), loss: sparseCrossEntropy});
  const sampling = training === 'owlore' ? sampleBlocks(model) : undefined;
  const batch = createBatch(config.vocabSize);
  return {
    about: {parameters: model.countParams(), versions: {tfjs: tf.version_core}},
    async step() {
      sampling?.step();
      return (await model.trainOnBatch(...batch)) as number;
    },
    memory: () => ({tensors: meter.peak(), ...(backend === 'wasm' && {wasm: heapBytes()})}),
  };
});

function createOptimizer(): tf.Optimizer {
  switch (training) {
    case 'owlore':
      return new OwLoreOptimizer({learningRate: LEARNING_RATE});
    case 'full':
      return new OwLoreOptimizer({learningRate: LEARNING_RATE, project: false});
    case 'stock':
      return tf.train.adam(LEARNING_RATE);
  }
}

function sampleBlocks(model: tfl.LayersModel): LayerSamplingCallback {
  const sampling = new LayerSamplingCallback({gamma: BLOCKS_ON, interval: INTERVAL});
  sampling.attach(model);
  return sampling;
}

/** A sequence of random token ids, each labelled with the next. */
function createBatch(vocabulary: number): [ids: tf.Tensor, labels: tf.Tensor] {
  return tf.tidy(() => {
    const ids = tf.randomUniform([1, tokens + 1], 0, vocabulary, 'int32', 1);
    const [from, next] = [tf.slice(ids, [0, 0], [1, tokens]), tf.slice(ids, [0, 1], [1, tokens])];
    return [from, tf.expandDims(next, 2)];
  });
}
