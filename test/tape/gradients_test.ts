import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {collectGradients} from '../../src/tape/gradients';
import {describeBackends} from '../support/backends';

describeBackends('tape', () => {
  it('gives what the stock tape gives', async () => {
    const w = tf.variable(tf.randomNormal([5, 4], 0, 1, 'float32', 1));
    const b = tf.variable(tf.randomNormal([4], 0, 1, 'float32', 2));
    const x = tf.randomNormal([3, 5], 0, 1, 'float32', 3);
    const f = (): tf.Scalar => tf.mean(tf.square(tf.tanh(tf.add(tf.matMul(x, w), b))));
    const before = tf.memory().numTensors;
    const {value, grads} = collectGradients(f, [w, b]);
    expect(tf.memory().numTensors).to.equal(before + 3);
    const stock = tf.variableGrads(f, [w, b]);
    expect(await value.data()).to.deep.equal(await stock.value.data());
    for (const [i, v] of [w, b].entries()) {
      expect(await grads[i]!.data()).to.deep.equal(await stock.grads[v.name]!.data());
    }
    tf.dispose([w, b, x, value, stock.value, ...Object.values(stock.grads)]);
    tf.dispose(grads as tf.Tensor[]);
  });
});
