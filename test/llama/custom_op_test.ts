import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {customOp} from '../../src/llama/custom_op';
import {variableGrads} from '../../src/tape/gradients';

/** `x³`, from `x` alone. */
function cube(x: tf.Tensor): tf.Tensor {
  return customOp({
    inputs: [x],
    forward: () => tf.mul(tf.square(x), x),
    gradient: (dy, [x]) => [tf.mul(dy, tf.mul(3, tf.square(x!)))],
  });
}

describe('customOp', () => {
  it('has the gradient that it is given, on both tapes', async () => {
    const before = tf.memory().numTensors;
    const x = tf.tidy(() => tf.variable(tf.tensor1d([2, -1])));
    for (const tape of [tf.variableGrads, variableGrads]) {
      const {value, grads} = tape(() => tf.sum(cube(x)), [x]);
      expect(Array.from(await grads[x.name]!.data())).to.deep.equal([12, 3]);
      tf.dispose([value, grads]);
    }
    x.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('keeps the tensors that it is told to, and no more', async () => {
    const x = tf.scalar(3);
    const gradient = tf.grad((x: tf.Tensor) => {
      const factor = tf.scalar(5);
      const y = customOp({
        inputs: [x],
        kept: [factor],
        forward: () => tf.mul(x, factor),
        gradient: (dy, kept) => {
          expect(kept).to.have.length(1);
          return [tf.mul(dy, kept[0]!)];
        },
      });
      factor.dispose();
      return y;
    })(x);
    expect(Array.from(await gradient.data())).to.deep.equal([5]);
    tf.dispose([x, gradient]);
  });

  it('refuses a second derivative', () => {
    const x = tf.scalar(2);
    const once = tf.grad(cube);
    expect(() => tf.grad((x: tf.Tensor) => once(x))(x)).to.throw('no second derivatives');
    x.dispose();
  });
});
