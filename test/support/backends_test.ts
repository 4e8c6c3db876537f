import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {describeBackends} from './backends';

describeBackends('describeBackends', (backend) => {
  it('runs ops and gradients on the backend that it names', async () => {
    expect(tf.getBackend()).to.equal(backend);
    const x = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    const weights = tf.clone(x);
    const product = tf.matMul(x, weights);
    expect(Array.from(await product.data())).to.deep.equal([7, 10, 15, 22]);
    const gradient = tf.grad((y: tf.Tensor) => tf.sum(tf.matMul(y as tf.Tensor2D, weights)))(x);
    expect(Array.from(await gradient.data())).to.deep.equal([3, 7, 3, 7]);
    tf.dispose([x, weights, product, gradient]);
  });
});
