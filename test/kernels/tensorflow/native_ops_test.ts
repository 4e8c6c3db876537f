import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {NativeOps, type Native, type NodeBackend} from '../../../src/kernels/tensorflow/native_ops';
import {backends, defaultBackend} from '../../support/backends';

const isThere = backends.includes('tensorflow');

(isThere ? describe : describe.skip)('NativeOps on tensorflow', () => {
  before(() => tf.setBackend('tensorflow'));
  after(() => tf.setBackend(defaultBackend));

  it('keeps the scalars that are in use, however many others there have been', () => {
    const backend = tf.backend() as unknown as NodeBackend; // the backend's own, of which tfjs shows a part
    const ops = new NativeOps(backend);
    const others = Array.from({length: 150}, (_, i) => i / 3);
    const products = ops.scope((): Native[] => {
      const seven = ops.scalar(7);
      return others.map((value) => {
        expect(ops.scalar(7)).to.equal(seven);
        return ops.mul(ops.scalar(7), ops.scalar(value));
      });
    });
    tf.tidy(() => {
      products.forEach((product, i) => {
        const value = backend.createOutputTensor(ops.release(product)).dataSync()[0];
        expect(value).to.equal(Math.fround(7 * Math.fround(others[i]!)));
      });
    });
  });
});
