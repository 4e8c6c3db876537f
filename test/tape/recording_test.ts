import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {collectGradients} from '../../src/tape/gradients';
import {isRecording, needsGradient} from '../../src/tape/recording';
import {describeBackends} from '../support/backends';
import {hasKernel} from '../../src/kernels/run_kernel';

describeBackends('a recording', () => {
  it('tells an op that it is there, and of which inputs a gradient may be asked for', () => {
    const [w, x] = [tf.variable(tf.tidy(() => tf.scalar(2))), tf.scalar(3)];
    const state = (): boolean[] => [isRecording(), needsGradient(w), needsGradient(x)];
    let inside: boolean[] = [];
    const {value, grads} = collectGradients(
      () =>
        tf.tidy(() => {
          const y = tf.mul(w, x);
          inside = [...state(), needsGradient(y), needsGradient(tf.square(x))];
          return y;
        }),
      [w],
    );
    expect(inside).to.deep.equal([true, true, false, true, false]);
    expect(state()).to.deep.equal([false, true, true]);
    tf.dispose([w, x, value, ...(grads as tf.Tensor[])]);
  });

  it('takes integers that an op computes for constants', async function () {
    // as tfjs-node does
    if (!hasKernel('SearchSorted')) this.skip();
    const w = tf.variable(tf.tidy(() => tf.tensor1d([1, 3, 2])));
    // each times a factor of the interval that it is in, by an op that has no gradient
    const {value, grads} = collectGradients(
      () =>
        tf.tidy(() => {
          const intervals = tf.lowerBound(tf.tensor1d([0, 2, 4]), w);
          return tf.sum<tf.Scalar>(tf.mul(w, tf.gather(tf.tensor1d([10, 20, 30]), intervals)));
        }),
      [w],
    );
    expect(await value.data()).to.deep.equal(new Float32Array([20 + 90 + 40]));
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([20, 30, 20]));
    tf.dispose([w, value, ...(grads as tf.Tensor[])]);
  });

  it('holds nothing of a custom gradient that no leaf is upstream of', () => {
    const [w, x] = [tf.variable(tf.tidy(() => tf.scalar(2))), tf.scalar(3)];
    const square = tf.customGrad((...args) => {
      const [t, save] = args as [tf.Tensor, tf.GradSaveFunc];
      save([t, tf.mul(t, 2)]);
      return {value: tf.square(t), gradFunc: (dy: tf.Tensor) => tf.clone(dy)};
    });
    const {value, grads} = collectGradients(
      () =>
        tf.tidy(() => {
          const {numTensors} = tf.memory();
          const y = tf.tidy(() => square(x));
          expect(tf.memory().numTensors).to.equal(numTensors + 1);
          return tf.mul(w, y);
        }),
      [w],
    );
    tf.dispose([w, x, value, ...(grads as tf.Tensor[])]);
  });
});
