import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {describeBackends} from '../../support/backends';

const shape: [number, number] = [12, 9];

const random = (): tf.Tensor2D => tf.randomNormal(shape, 0, 1, 'float32', 3);

/** A gradient with one entry that is not zero or much larger than the others. */
function withEntry(value: number, others: tf.Tensor2D = tf.zeros(shape)): tf.Tensor2D {
  const entry = tf.buffer(shape, 'float32');
  entry.set(value, 4, 7);
  return tf.add(others, entry.toTensor());
}

/** Gradients [12, 9] of which no basis of rank 4 can be computed in the usual way. */
const gradients: Record<string, () => tf.Tensor2D> = {
  zero: () => tf.zeros(shape),
  'of rank 1': () => tf.matMul(tf.slice(random(), [0, 0], [12, 1]), tf.ones([1, 9])),
  'of rank 1, all equal': () => tf.ones(shape),
  'one entry': () => withEntry(1),
  'one huge entry': () => withEntry(1e18, random()),
  'one huge entry alone': () => withEntry(-1e18),
  'one tiny entry': () => withEntry(1e-30),
  'one denormal entry': () => withEntry(1e-40),
  denormal: () => tf.fill(shape, 1e-40),
  'the smallest denormal': () => tf.fill(shape, 2 ** -149),
  'huge everywhere': () => tf.mul(random(), 1e17),
  'huge and denormal columns': () =>
    tf.mul(random(), tf.tensor1d([1e17, 1e-40, 1, 0, 1e-20, 1e10, 1e-38, 2 ** -149, 1e-10])),
};

const variants: Record<string, OwLoreOptions> = {
  defaults: {},
  'moments rotated': {moments: 'rotate'},
  'no scale, right side': {scale: 1, side: 'right', moments: 'reset'},
  clipped: {clipNorm: 1},
  unchecked: {nonFinite: 'ignore', moments: 'rotate'},
  exact: {basis: 'svd'},
};

describeBackends('degenerate gradients', function (backend) {
  if (backend === 'webgpu') this.timeout(240_000);
  for (const [how, options] of Object.entries(variants)) {
    if (backend === 'webgpu' && how === 'exact') continue; // which it refuses
    for (const [what, make] of Object.entries(gradients)) {
      it(`${what}: finite bases, moments and weights; ${how}`, async () => {
        const {numTensors} = tf.memory();
        const matrix = tf.tidy(() => tf.variable(tf.ones(shape), true, 'matrix'));
        const optimizer = new OwLoreOptimizer({rank: 4, refreshInterval: 1, ...options});
        // Alone, from one such basis to the next, and to and from an ordinary gradient.
        for (const makeNext of [make, make, random, make]) {
          tf.tidy(() => optimizer.applyGradients({matrix: makeNext()}));
          await optimizer.settled();
          for (const {name, tensor} of await optimizer.getWeights()) {
            expect([...(await tensor.data())].every(Number.isFinite), name).to.equal(true);
          }
          const weights = [...(await matrix.data())];
          expect(weights.every(Number.isFinite), 'weights').to.equal(true);
          if (what === 'zero' && optimizer.iterations <= 2) {
            expect(weights.every((x) => x === 1)).to.equal(true);
          }
        }
        expect(optimizer.iterations).to.equal(4);
        expect((await matrix.data()).some((x) => x !== 1)).to.equal(true);
        optimizer.dispose();
        matrix.dispose();
        expect(tf.memory().numTensors).to.equal(numTensors);
      });
    }
  }
});
