import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {checkpointed} from '../../src/tape/checkpoint';
import {collectGradients} from '../../src/tape/gradients';
import {describeBackends} from '../support/backends';

describeBackends('checkpoint', () => {
  it('gives the same gradients as without', async () => {
    const w = tf.variable(tf.randomNormal([5, 5], 0, 1, 'float32', 1));
    const u = tf.variable(tf.randomNormal([5, 5], 0, 1, 'float32', 2));
    const x = tf.randomNormal([3, 5], 0, 1, 'float32', 3);
    const layer = (h: tf.Tensor): tf.Tensor =>
      tf.tidy(() => tf.add(h, tf.matMul(tf.tanh(tf.matMul(h, w)), u)));
    const run = (part: (h: tf.Tensor) => tf.Tensor): tf.Scalar =>
      tf.mean(tf.square(part(part(part(x)))));
    const before = tf.memory().numTensors;
    const {value, grads} = collectGradients(() => run(checkpointed(layer)), [w, u]);
    expect(tf.memory().numTensors).to.equal(before + 3);
    const plain = collectGradients(() => run(layer), [w, u]);
    expect(await value.data()).to.deep.equal(await plain.value.data());
    for (const i of [0, 1]) {
      expect(await grads[i]!.data()).to.deep.equal(await plain.grads[i]!.data());
    }
    tf.dispose([
      w,
      u,
      x,
      value,
      plain.value,
      ...(grads as tf.Tensor[]),
      ...(plain.grads as tf.Tensor[]),
    ]);
  });

  it('sees the same random numbers twice', async () => {
    const w = tf.variable(tf.ones([100]));
    const dropped = checkpointed((x: tf.Tensor) => tf.square(tf.dropout(x, 0.5)));
    const {value, grads} = collectGradients(() => tf.sum<tf.Scalar>(dropped(w)), [w]);
    // d/dw Σ (w·m)² = 2·w·m², and the value is Σ m² at w = 1.
    const [sum] = await tf.sum(grads[0]!).data();
    expect(sum).to.equal(2 * (await value.data())[0]!);
    tf.dispose([w, value, ...(grads as tf.Tensor[])]);
  });

  it('assigns to variables once', async () => {
    const w = tf.variable(tf.ones([2]));
    const average = tf.variable(tf.scalar(0), false);
    const body = checkpointed((x: tf.Tensor) => {
      average.assign(tf.add(tf.mul(average, 0.5), tf.mean(x)));
      return tf.mul(x, average);
    });
    const {value, grads} = collectGradients(() => tf.sum<tf.Scalar>(body(body(w))), [w]);
    // First 1, then 0.5 + 1: x·1·1.5.
    expect(await average.data()).to.deep.equal(new Float32Array([1.5]));
    expect(await value.data()).to.deep.equal(new Float32Array([3]));
    expect(grads[0]).not.to.equal(null);
    tf.dispose([w, average, value, ...(grads as tf.Tensor[])]);
  });
});
