/**
 * Holds the figures that the shape-only backend gives for wasm to real steps there, with tfjs's own kernels (and the one
 * that the gradient of an embedding lacks):
 *
 *   npm run bench:memory-on-wasm                  # over a minute: a step with these kernels takes more than ten seconds
 *
 * Exits with 1 if a peak differs by a byte.
 */
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../src/memory/meter';
import {loadBackend} from '../scripts/load_backend';
import {registerShapeBackend} from './shape_backend';
import {supplyMissingKernel} from './stock_kernels';
import {measureAlone} from './turns';
import {referenceShape as shape, trainedSets} from './workload';

await loadBackend('wasm');
await tf.setBackend('wasm');
supplyMissingKernel();
const meter = startMemoryMeter();
const shapes = await registerShapeBackend('wasm');

for (const [set, variant] of [
  ['full', 'stock'],
  ['full', 'auto'],
  ['lisa', 'auto'],
] as const) {
  const peaks: number[] = [];
  for (const backend of ['wasm', shapes]) {
    await tf.setBackend(backend);
    peaks.push((await measureAlone({shape, trained: trainedSets[set], variant}, meter)).peak);
  }
  const [real, predicted] = peaks;
  console.log(`${set}, ${variant}: ${real} bytes on wasm, ${predicted} by shapes`);
  if (real !== predicted) process.exitCode = 1;
}
