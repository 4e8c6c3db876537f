/**
 * Peak tensor memory of a training step, to the byte, against stock tfjs:
 *
 *   npm run bench:memory                          # the tensorflow backend if it is there, else wasm
 *   npm run bench:memory -- --backend wasm
 *
 * Peaks are deterministic; the step times beside them are one run's medians, and only as good as the machine was quiet.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend, type BackendName} from '../scripts/load_backend';
import {OwLoreOptimizer, type OwLoreOptions} from '../src';
import {installKernels} from '../src/kernels/wasm';
import {startMemoryMeter} from '../demo/memory_meter';
import {createWorkload, referenceShape, trainedSets, type TrainedSet} from './workload';

const {values} = parseArgs({options: {backend: {type: 'string'}, steps: {type: 'string'}}});
const steps = Number(values.steps ?? 20);
const backend = (values.backend ??
  ((await loadBackend('tensorflow')) ? 'tensorflow' : 'wasm')) as BackendName;
if (!(await loadBackend(backend))) throw new Error(`the ${backend} backend is not here`);
if (backend === 'wasm') installKernels();
await tf.setBackend(backend);
const meter = startMemoryMeter();

interface Measured {
  peak: number;
  milliseconds: number;
  losses: number[];
}

async function measure(optimizer: tf.Optimizer, trained: TrainedSet): Promise<Measured> {
  const {model, ids, labels} = createWorkload(referenceShape, optimizer, trained);
  meter.reset();
  const losses: number[] = [];
  const times: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    losses.push((await model.trainOnBatch(ids, labels)) as number);
    times.push(performance.now() - start);
  }
  const measured = {peak: meter.peak(), milliseconds: median(times), losses};
  model.dispose();
  optimizer.dispose();
  tf.dispose([ids, labels]);
  return measured;
}

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

/** Adam as tf.train.adam has it. */
const adam: OwLoreOptions = {
  learningRate: 1e-3,
  epsilon: 1e-7,
  project: false,
  nonFinite: 'ignore',
};

console.log(
  `Backend ${backend}, ${steps} steps; peak of tensor memory in MB, and as a part of stock full fine-tuning.\n`,
);
console.log('| trained | stock | no checkpoints | checkpoints | largest difference of a loss |');
console.log('| --- | --- | --- | --- | --- |');
let full = 0;
for (const [title, trained] of Object.entries(trainedSets)) {
  const stock = await measure(tf.train.adam(1e-3), trained);
  full ||= stock.peak;
  const plain = await measure(new OwLoreOptimizer({...adam, checkpoint: 'none'}), trained);
  const checkpoints = await measure(new OwLoreOptimizer(adam), trained);
  const cell = ({peak, milliseconds}: Measured): string =>
    `${(peak / 1e6).toFixed(0)} (${(peak / full).toFixed(3)}), ${(milliseconds / stock.milliseconds).toFixed(2)} × time`;
  const difference = Math.max(
    ...[plain, checkpoints].flatMap(({losses}) =>
      losses.map((loss, i) => Math.abs(loss / stock.losses[i]! - 1)),
    ),
  );
  console.log(
    `| ${title} | ${cell(stock)} | ${cell(plain)} | ${cell(checkpoints)} | ${difference.toExponential(1)} |`,
  );
}
