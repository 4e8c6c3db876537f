/**
 * What a training step of the reference workload is made of, kernel by kernel, with this library's kernels.
 *
 *   npm run bench -- kernel_profile --backend tensorflow          # or wasm; webgpu does not wait for its kernels
 *   npm run bench -- kernel_profile --trained lisa                # any of the trained sets of workload.ts; default full
 *
 * Medians over the steps. The rest of a step is JavaScript: tfjs's engine and layers, the tape, the optimizer.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {loadBackend, type BackendName} from '../../tools/load_backend';
import * as tensorflow from '../../src/kernels/tensorflow';
import * as wasm from '../../src/kernels/wasm';
import {median} from '../harness/statistics';
import {
  referenceShape as shape,
  trainedSets,
  Training,
  type TrainedSetName,
} from '../harness/workload';

const {values} = parseArgs({
  options: {
    backend: {type: 'string', default: 'tensorflow'},
    trained: {type: 'string', default: 'full'},
    steps: {type: 'string', default: '10'},
  },
});
const backend = values.backend as BackendName;
await loadBackend(backend);
await tf.setBackend(backend);
await (backend === 'wasm' ? wasm : tensorflow).installKernels();

/** Milliseconds and calls of each kernel in the step that is running. */
let spent = new Map<string, {milliseconds: number; calls: number}>();
/** How many kernels are running inside one another; an inner one counts as part of the outermost. */
let depth = 0;
for (const config of tf.getKernelsForBackend(backend)) {
  const {kernelName, kernelFunc} = config;
  config.kernelFunc = (args) => {
    const start = performance.now();
    depth++;
    try {
      return kernelFunc(args);
    } finally {
      depth--;
      if (depth === 0) {
        const {milliseconds = 0, calls = 0} = spent.get(kernelName) ?? {};
        const duration = performance.now() - start;
        spent.set(kernelName, {milliseconds: milliseconds + duration, calls: calls + 1});
      }
    }
  };
}

const trained = trainedSets[values.trained as TrainedSetName];
const training = new Training({shape, trained, variant: 'none'});
const steps: Array<{milliseconds: number; spent: typeof spent}> = [];
for (let step = -2; step < Number(values.steps); step++) {
  spent = new Map();
  const start = performance.now();
  await training.step();
  if (step >= 0) steps.push({milliseconds: performance.now() - start, spent});
}
training.dispose();

const names = [...steps[0]!.spent.keys()];
const rows = names.map((name) => ({
  name,
  calls: steps[0]!.spent.get(name)!.calls,
  milliseconds: median(steps.map(({spent}) => spent.get(name)?.milliseconds ?? 0)),
}));
rows.sort((a, b) => b.milliseconds - a.milliseconds);
const outside = median(
  steps.map(({milliseconds, spent}) =>
    [...spent.values()].reduce((rest, kernel) => rest - kernel.milliseconds, milliseconds),
  ),
);
console.log('| kernel | calls | ms |\n| --- | --- | --- |');
for (const {name, calls, milliseconds} of rows) {
  console.log(`| ${name} | ${calls} | ${milliseconds.toFixed(1)} |`);
}
console.log(`| outside of kernels | | ${outside.toFixed(1)} |`);
console.log(`| the step | | ${median(steps.map((step) => step.milliseconds)).toFixed(1)} |`);
