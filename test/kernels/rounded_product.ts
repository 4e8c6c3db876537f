/** Prints two matrices and their product on tensorflow, in the precision that the command line calls `medium`. */
import * as tf from '@tensorflow/tfjs-core';
import {roundProducts} from '../../src/cli/matmul_precision';
import {installKernels} from '../../src/kernels/tensorflow';
import {loadBackend} from '../../tools/load_backend';

roundProducts();
await loadBackend('tensorflow');
await tf.setBackend('tensorflow');
await installKernels();
const [a, b] = [1, 2].map((seed) => tf.randomNormal([96, 96], 0, 1, 'float32', seed));
console.log(JSON.stringify([a!, b!, tf.matMul(a!, b!)].map((x) => x.arraySync())));
