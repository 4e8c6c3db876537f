/**
 * A few steps of a shape composed of tfjs's own ops on wasm, in a fresh process, and their times in milliseconds as JSON:
 *
 *   tsx bench/contenders/loop_contender.ts loop 4 '{…}'     # `kernels: 'auto'`, in a loop of `await model.trainOnBatch(…)` that never yields
 *   tsx bench/contenders/loop_contender.ts fit 4 '{…}'      # the same by `fit`, which yields after each batch
 *   tsx bench/contenders/loop_contender.ts stock 2 '{…}'    # with tf.train.adam and tfjs's kernels
 */
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer} from '../../src';
import {loadBackend} from '../../tools/load_backend';
import * as composed from '../../tools/composed';
import {supplyMissingKernel} from '../harness/wasm_backend';
import {adamOptions, Training, type Shape} from '../harness/workload';

const [kind, count, shapeJson] = process.argv.slice(2) as [
  'loop' | 'fit' | 'stock',
  string,
  string,
];
const shape = JSON.parse(shapeJson) as Shape;
await loadBackend('wasm');
await tf.setBackend('wasm');
if (kind === 'stock') supplyMissingKernel();

const {model, batch} = new Training({shape, trained: 'all', variant: 'stock'});
if (kind !== 'stock') {
  model.compile({
    optimizer: new OwLoreOptimizer(adamOptions),
    loss: composed.sparseCrossEntropy,
  });
}
const ends = [performance.now()];
if (kind === 'fit') {
  const [x, y] = batch;
  await model.fit(x, y, {
    ...{epochs: Number(count), batchSize: shape.batch, shuffle: false, verbose: 0},
    callbacks: {onBatchEnd: () => void ends.push(performance.now())},
  });
} else {
  for (let step = 0; step < Number(count); step++) {
    await model.trainOnBatch(...batch);
    ends.push(performance.now());
  }
}
console.log(JSON.stringify(ends.slice(1).map((end, i) => end - ends[i]!)));
