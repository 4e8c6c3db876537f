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

  it('may return what it was given, also by way of a custom gradient, and a tensor twice', async () => {
    const w = tf.variable(tf.scalar(3));
    const passOn = tf.customGrad((x) => ({
      value: x as tf.Tensor,
      gradFunc: (dy: tf.Tensor) => tf.mul(dy, 10),
    }));
    const body = checkpointed((x: tf.Tensor) => {
      const square = tf.square(x);
      return [x, square, square];
    });
    const before = tf.memory().numTensors;
    const {value, grads} = collectGradients(() => {
      const h = checkpointed(passOn)(w);
      return tf.addN(body(h)) as tf.Scalar;
    }, [w]);
    expect(await value.data()).to.deep.equal(new Float32Array([21]));
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([130]));
    expect(w.isDisposed).to.be.false;
    tf.dispose([value, ...(grads as tf.Tensor[])]);
    expect(tf.memory().numTensors).to.equal(before);
    w.dispose();
  });

  it('runs again on inputs that a tidy has disposed of', async () => {
    const w = tf.variable(tf.scalar(3));
    const inputs: tf.Tensor[] = [];
    // The method looks whether the tensor is disposed.
    const body = checkpointed((x: tf.Tensor) => tf.square(x.clone()));
    const {value, grads} = collectGradients(
      () =>
        tf.tidy(() => {
          inputs.push(tf.mul(w, 2));
          return body(inputs[0]!) as tf.Scalar;
        }),
      [w],
    );
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([24]));
    expect(inputs[0]!.isDisposed).to.be.true;
    tf.dispose([w, value, ...(grads as tf.Tensor[])]);
  });
});
