import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {customOp} from '../../src/llama/custom_op';
import {variableGrads} from '../../src/tape/tfjs_gradients';

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

  it('is told which gradients are asked for, and asked for none but these', async () => {
    const [x, y] = [tf.variable(tf.scalar(3)), tf.variable(tf.scalar(4))];
    y.trainable = false;
    const asked: boolean[][] = [];
    const product = (): tf.Scalar =>
      customOp({
        inputs: [x, y],
        forward: () => tf.mul(x, y),
        gradient: (dy, [x, y], needed) => {
          asked.push(needed);
          return [tf.mul(dy, y!), needed[1] ? tf.mul(dy, x!) : null];
        },
      }) as tf.Scalar;
    const {value, grads} = variableGrads(product, [x, y]);
    expect(Array.from(await grads[x.name]!.data())).to.deep.equal([4]);
    expect(grads[y.name]).to.equal(null);
    // The stock tape does not say, and drops what it does not need.
    const stock = tf.variableGrads(product, [x]);
    expect(asked).to.deep.equal([
      [true, false],
      [true, true],
    ]);
    tf.dispose([x, y, value, grads, stock.value, stock.grads]);
  });

  it('refuses a second derivative', () => {
    const x = tf.scalar(2);
    const once = tf.grad(cube);
    expect(() => tf.grad((x: tf.Tensor) => once(x))(x)).to.throw('no second derivatives');
    x.dispose();
  });
});
