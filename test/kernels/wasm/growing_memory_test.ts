import * as tf from '@tensorflow/tfjs-core';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {expect} from 'chai';
import {describeWasm} from './compare';

/** Bytes; any view of the memory tells. */
function heapSize(): number {
  const backend = tf.backend() as BackendWasm;
  const x = tf.scalar(0);
  const {byteLength} = backend.typedArrayFromHeap(x).buffer;
  x.dispose();
  return byteLength;
}

/** Makes tensors until the memory of the backend has grown. */
function growMemory(): void {
  const before = heapSize();
  while (heapSize() === before) tf.zeros([1 << 20]);
}

/** The memory grows when a tensor finds no place in it; every view of it is detached then. */
describeWasm('a wasm memory that grows', () => {
  it('in the middle of a step changes nothing', () => {
    const step = (between: () => void): number[] =>
      tf.tidy(() => {
        const x = tf.reshape(tf.sin(tf.range(0, 30 * 20)), [30, 20]);
        const weights = tf.reshape(tf.cos(tf.range(0, 20 * 10)), [20, 10]);
        const ids = tf.tensor1d(
          Array.from({length: 30}, (_, i) => i % 7),
          'int32',
        );
        between();
        const y = tf.clone(tf.matMul(x, weights));
        between();
        const sums = tf.unsortedSegmentSum(y, ids, 7);
        between();
        return Array.from(tf.matMul(sums, weights, false, true).dataSync());
      });
    const expected = step(() => undefined);
    expect(step(growMemory)).to.deep.equal(expected);
  });

  it('for the result of a kernel holds that result', () => {
    let size = 1 << 20;
    let grown = false;
    while (!grown) {
      tf.tidy(() => {
        const column = tf.range(0, 1024);
        const row = tf.ones([1, size / 1024]);
        const before = heapSize();
        const product = tf.matMul(tf.reshape(column, [1024, 1]), row);
        grown = heapSize() > before;
        if (!grown) return;
        expect(tf.min(product).dataSync()[0]).to.equal(0);
        expect(tf.max(product).dataSync()[0]).to.equal(1023);
        const sums = tf.sum(product, 0).dataSync();
        expect(sums.every((sum) => sum === (1023 * 1024) / 2)).to.equal(true);
      });
      size *= 2;
    }
  });
});
