/**
 * Compares the peaks that the shape-only backend gives for wasm with those of real steps on wasm, with tfjs's own kernels and the
 * one that is missing for the gradient of an embedding:
 *
 *   npm run bench:memory-on-wasm                  # over a minute: a step with these kernels takes more than ten seconds
 *
 * Exits with 1 if a peak differs by a byte.
 */
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../src/memory/meter';
import {loadBackend} from '../../tools/load_backend';
import {registerShapeBackend} from '../harness/shape_backend';
import {supplyMissingKernel} from '../harness/wasm_backend';
import {measureAlone} from '../harness/turns';
import {referenceShape as shape, trainedSets} from '../harness/workload';

await loadBackend('wasm');
await tf.setBackend('wasm');
supplyMissingKernel();
const meter = startMemoryMeter();
const shapes = await registerShapeBackend('wasm');

for (const [set, variant, plainOps] of [
  ['full', 'stock', true],
  ['full', 'auto', false],
  ['lisa', 'auto', false],
  ['full', 'auto', true],
] as const) {
  const peaks: number[] = [];
  for (const backend of ['wasm', shapes]) {
    await tf.setBackend(backend);
    const options = {shape, trained: trainedSets[set], variant, plainOps};
    peaks.push((await measureAlone(options, meter)).peak);
  }
  const [real, predicted] = peaks;
  const ops = plainOps ? "tfjs's ops" : "this library's";
  console.log(`${set}, ${variant}, ${ops}: ${real} bytes on wasm, ${predicted} by shapes`);
  if (real !== predicted) process.exitCode = 1;
}
