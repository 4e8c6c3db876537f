/**
 * A page's view of the library, as a process of its own: nothing is provided from the start. Prints what it saw as a line of
 * JSON; `on_demand_test.ts` runs it, once for each case, and judges.
 */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import * as tfl from '@tensorflow/tfjs-layers';
import {leanOptimizer, OwLoreOptimizer} from '../../src/index';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import {kernelModules, type KernelModule} from '../../src/kernels/kernel_modules';
import {OnDemand} from '../../src/common/on_demand';

const [way, basis = 'randomized'] = process.argv.slice(2);
const warnings: string[] = [];
console.warn = (message: unknown) => warnings.push(String(message));
console.info = () => undefined;

if (way === 'offline') {
  const offline = new OnDemand(() => Promise.reject(new Error('offline.')));
  (kernelModules as Map<string, OnDemand<KernelModule>>).set('wasm', offline);
}
const selected = tf.setBackend('wasm');
new OwLoreOptimizer(); // before its backend is there
await selected;
const isThere = (): boolean =>
  tf.getKernelsForBackend('wasm').some(({kernelName}) => kernelName === OwLoreAdam);

const isLean = way === 'lean';
// The gradient of an embedding needs one of the kernels.
const embedding = tfl.layers.embedding({inputDim: 2, outputDim: 3, inputLength: 4});
const layers = isLean
  ? [embedding, tfl.layers.globalAveragePooling1d()]
  : [tfl.layers.dense({units: 3, inputShape: [4]})];
const model = tfl.sequential({layers});
const options = {basis: basis as 'randomized' | 'svd', rank: 2, project: /kernel/};
const optimizer = isLean ? leanOptimizer(tf.train.adam(0.1)) : new OwLoreOptimizer(options);
model.compile({optimizer, loss: 'meanSquaredError'});
const x = tf.ones([8, 4]);
const y = tf.ones([8, 3]);

/** For each step: whether it ran by this library's kernels. */
const steps: boolean[] = [];
const {minimize} = optimizer;
optimizer.minimize = function (...args) {
  const result = minimize.apply(this, args);
  steps.push(isThere());
  return result;
};

const before = model.getWeights()[0]!.dataSync().slice();
let error: string | null = null;
try {
  if (isLean || way === 'fit' || way === 'offline') {
    await model.fit(x, y, {epochs: 1, batchSize: 4, verbose: 0});
  } else {
    if (way === 'ready') await optimizer.ready();
    for (let i = 0; i < 3; i++) await model.trainOnBatch(x, y);
  }
} catch (thrown) {
  error = (thrown as Error).message;
}
const moved = model
  .getWeights()[0]!
  .dataSync()
  .some((value, i) => value !== before[i]);
process.stdout.write(`${JSON.stringify({steps, warnings, error, moved})}\n`);
