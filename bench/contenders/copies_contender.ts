/**
 * Ops of tfjs on wasm that copy or fill memory in JavaScript, or might, as a process that is asked for the time of one by its name. Some ops
 * beside them copy nothing, and show how far two runs of the same differ.
 *
 *
 *   OWLORE_THREADS=2 tsx bench/contenders/copies_contender.ts 1024    # rows and columns of a matrix; over a shared memory
 */
import {createInterface} from 'node:readline';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {installKernels} from '../../src/kernels/wasm';
import {loadBackend} from '../../tools/load_backend';
import {median} from '../harness/statistics';

/** How long an op is run at a turn, in milliseconds, and at least how often. */
const [TURN, CALLS] = [20, 3];

const n = Number(process.argv[2]);
await loadBackend('wasm');
await tf.setBackend('wasm');
await installKernels();

const matrix = tf.randomUniform<tf.Rank.R2>([n, n], -1, 1, 'float32', 1);
const [ints, bools] = [tf.cast(matrix, 'int32'), tf.greater(matrix, 0)];
const [floats, integers] = [matrix.dataSync().slice(), ints.dataSync().slice()];
const row = tf.slice(matrix, [0, 0], [1, n]);
const ids = tf.tensor1d(
  Int32Array.from({length: n}, (_, i) => (7919 * i) % n),
  'int32',
);
const halves = tf.split(matrix, 2, 1);
const places = tf.expandDims(ids, 1);
const column = tf.cast(places, 'float32');
const images = tf.reshape<tf.Rank.R4>(matrix, [1, n, n / 8, 8]);

const ops: Readonly<Record<string, () => tf.TensorContainer>> = {
  'tensor of floats': () => tf.tensor2d(floats, [n, n]),
  'tensor of integers': () => tf.tensor2d(integers, [n, n], 'int32'),
  'tensor of a row': () => tf.tensor1d(floats.subarray(1, n + 1)),
  'dataSync, floats': () => void matrix.dataSync(),
  'dataSync, integers': () => void ints.dataSync(),
  'dataSync, bools': () => void bools.dataSync(),
  'dataSync of a row': () => void row.dataSync(),
  zeros: () => tf.zeros([n, n]),
  ones: () => tf.ones([n, n]),
  fill: () => tf.fill([n, n], 0.5),
  'fill of a row': () => tf.fill([n], 0.5),
  zerosLike: () => tf.zerosLike(matrix),
  onesLike: () => tf.onesLike(matrix),
  range: () => tf.range(0, n * n),
  'slice of rows': () => tf.slice(matrix, [1, 0], [n - 2, n]),
  'slice of columns': () => tf.slice(matrix, [0, 0], [n, n / 2]),
  'slice of columns, from an odd place': () => tf.slice(matrix, [0, 1], [n, n / 2 - 1]),
  'slice of 8 columns': () => tf.slice(matrix, [0, 8], [n, 8]),
  'slice of a row': () => tf.slice(matrix, [1, 0], [1, n]),
  split: () => tf.split(matrix, 2, 1),
  'concat of rows': () => tf.concat([matrix, matrix], 0),
  'concat of columns': () => tf.concat(halves, 1),
  'concat of columns, odd widths': () => tf.concat([halves[0]!, column, halves[1]!], 1),
  stack: () => tf.stack([matrix, matrix]),
  'gather of rows': () => tf.gather(matrix, ids),
  'pad': () => tf.pad(matrix, [[1, 1], [1, 1]]), // prettier-ignore
  'mirrorPad': () => tf.mirrorPad(matrix, [[1, 1], [1, 1]], 'reflect'), // prettier-ignore
  tile: () => tf.tile(row, [n, 1]),
  clone: () => tf.clone(matrix),
  'cast to integers': () => tf.cast(matrix, 'int32'),
  'cast to floats': () => tf.cast(ints, 'float32'),
  'cast to bools': () => tf.cast(matrix, 'bool'),
  reverse: () => tf.reverse(matrix, 0),
  transpose: () => tf.transpose(matrix),
  oneHot: () => tf.oneHot(ids, n),
  scatterND: () => tf.scatterND(places, matrix, [n, n]),
  gatherND: () => tf.gatherND(matrix, places),
  cumsum: () => tf.cumsum(matrix, 0),
  resizeNearestNeighbor: () => tf.image.resizeNearestNeighbor(images, [n, n / 8]),
  randomUniform: () => tf.randomUniform([n, n / 8], 0, 1, 'float32', 1),
  dropout: () => tf.dropout(halves[0]!, 0.5, undefined, 1),
  add: () => tf.add(matrix, matrix),
  'add of a row': () => tf.add(matrix, row),
  relu: () => tf.relu(matrix),
  sum: () => tf.sum(matrix, 1),
  softmax: () => tf.softmax(matrix),
  matMul: () => tf.matMul(matrix, matrix),
  unsortedSegmentSum: () => tf.unsortedSegmentSum(matrix, ids, n),
};

console.log(JSON.stringify(Object.keys(ops)));
for await (const name of createInterface({input: process.stdin})) {
  console.log(timeOf(ops[name]!));
}

/** Milliseconds of a call, the median. */
function timeOf(op: () => tf.TensorContainer): number {
  const times: number[] = [];
  for (const start = performance.now(); times.length < CALLS || performance.now() - start < TURN;) {
    const before = performance.now();
    const result = op();
    times.push(performance.now() - before);
    tf.dispose(result);
  }
  return median(times);
}
