/**
 * Runs one kernel of wasm on one thread again and again, and prints how often it did in a second: what a processor of this machine gives.
 *
 *   tsx bench/contenders/scaling_loop.ts products|reading SECONDS    # begins at a line on stdin
 */
import {once} from 'node:events';
import * as tf from '@tensorflow/tfjs-core';
import {installKernels} from '../../src/kernels/wasm';
import {loadBackend} from '../../tools/load_backend';

const [kind, seconds] = process.argv.slice(2) as ['products' | 'reading', string];
await loadBackend('wasm');
await tf.setBackend('wasm');
await installKernels();
// products of W1's size, in the processor's caches; or one row with a matrix of 134 MB, as fast as it can be read
const [rows, inner, columns] = kind === 'products' ? [1024, 256, 688] : [1, 4096, 8192];
const [a, b] = [tf.ones<tf.Rank.R2>([rows, inner]), tf.ones<tf.Rank.R2>([inner, columns])];
const multiply = (): void => tf.matMul(a, b).dispose();
for (let i = 0; i < 5; i++) multiply();
console.log('ready');
await once(process.stdin, 'data');
const start = performance.now();
let count = 0;
while (performance.now() - start < 1000 * Number(seconds)) {
  multiply();
  count++;
}
console.log((1000 * count) / (performance.now() - start));
process.exit(0);
