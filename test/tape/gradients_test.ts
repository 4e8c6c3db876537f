import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {collectGradients, streamGradients} from '../../src/tape/gradients';
import {valueAndGrads, variableGrads} from '../../src/tape/tfjs_gradients';
import {termKind, FactoredGradient} from '../../src/tape/factored_gradient';
import {describeBackends} from '../support/backends';

describeBackends('tape', (backend) => {
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

  it('gives what tf.valueAndGrads gives', async () => {
    const [a, b] = [tf.tensor1d([1, 2]), tf.tensor1d([3, 4])];
    const f = (x: tf.Tensor, y: tf.Tensor): tf.Tensor => tf.mul(tf.square(x), y);
    const dy = tf.tensor1d([1, 10]);
    const before = tf.memory().numTensors;
    const {value, grads} = valueAndGrads(f)([a, b], dy);
    expect(tf.memory().numTensors).to.equal(before + 3);
    expect(await value.data()).to.deep.equal(new Float32Array([3, 16]));
    expect(await grads[0]!.data()).to.deep.equal(new Float32Array([6, 160]));
    expect(await grads[1]!.data()).to.deep.equal(new Float32Array([1, 40]));
    expect(() => valueAndGrads((x) => tf.square(x))([a, b])).to.throw('Cannot compute gradient');
    expect(() => valueAndGrads((x) => tf.square(x))([a], tf.scalar(1))).to.throw('shape');
    tf.dispose([a, b, dy, value, ...grads]);
  });

  const aliases: Record<string, (dy: tf.Tensor, saved: tf.Tensor) => tf.Tensor[]> = {
    'the gradient that came': (dy) => [dy, dy],
    'one tensor': (dy) => Array<tf.Tensor>(2).fill(tf.mul(dy, 1)),
    'what was saved': (_, saved) => [saved, saved],
  };
  for (const [title, gradFunc] of Object.entries(aliases)) {
    it(`takes ${title} as the gradient of two inputs`, async () => {
      const ones = tf.ones([2]);
      const w = tf.variable(ones);
      const op = tf.customGrad((...args) => {
        const [a, b, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
        // Nobody but the tape owns it in the backward pass.
        save([tf.onesLike(a)]);
        return {
          value: tf.add(a, b),
          gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => gradFunc(dy, saved[0]!),
        };
      });
      const before = tf.memory().numTensors;
      const {value, grads} = collectGradients(
        () => tf.tidy(() => tf.sum(op(tf.mul(w, 2), tf.mul(w, 3)))),
        [w],
      );
      expect(await grads[0]!.data()).to.deep.equal(new Float32Array([5, 5]));
      tf.dispose([value, ...(grads as tf.Tensor[])]);
      expect(tf.memory().numTensors).to.equal(before);
      tf.dispose([w, ones]);
    });
  }

  it('leaves alone the tensors of a custom gradient that its owner holds', async () => {
    const w = tf.variable(tf.tidy(() => tf.ones([2])));
    const older = tf.tensor1d([5, 6]);
    let kept: tf.Tensor | undefined;
    const op = tf.customGrad((...args) => ({
      value: tf.add(args[0] as tf.Tensor, args[1] as tf.Tensor),
      gradFunc: () => [older, (kept ??= tf.keep(tf.tensor1d([1, 2])))],
    }));
    for (let step = 0; step < 2; step++) {
      const {value, grads} = collectGradients(() => tf.sum(op(tf.mul(w, 2), tf.mul(w, 3))), [w]);
      expect(await grads[0]!.data()).to.deep.equal(new Float32Array([13, 18]));
      tf.dispose([value, ...(grads as tf.Tensor[])]);
      expect([older.isDisposed, kept!.isDisposed]).to.deep.equal([false, false]);
    }
    tf.dispose([w, older, kept!]);
  });

  it('remembers nothing of ops that no leaf is upstream of', () => {
    const w = tf.variable(tf.ones([2]));
    const x = tf.ones([2]);
    const before = tf.memory().numTensors;
    let inBackward = 0;
    const last = tf.customGrad((h) => ({
      value: tf.clone(h as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => {
        inBackward = tf.memory().numTensors;
        return tf.clone(dy);
      },
    }));
    const deep = (h: tf.Tensor): tf.Tensor => tf.exp(tf.tanh(tf.square(h)));
    const {value, grads} = collectGradients(
      () => tf.tidy(() => tf.sum(last(tf.mul(deep(deep(x)), w)))),
      [w],
    );
    // The factor of w, the value, its gradient and that of the last op.
    expect(inBackward - before).to.be.at.most(4);
    tf.dispose([w, x, value, ...(grads as tf.Tensor[])]);
  });

  it('holds nothing in the backward pass of ops that do not lead to the result', () => {
    const w = tf.variable(tf.ones([2]));
    const inBackward = (aside: (x: tf.Tensor) => void): number => {
      let tensors = 0;
      const last = tf.customGrad((x) => ({
        value: tf.clone(x as tf.Tensor),
        gradFunc: (dy: tf.Tensor) => {
          tensors = tf.memory().numTensors;
          return tf.clone(dy);
        },
      }));
      const f = (): tf.Tensor =>
        tf.tidy(() => {
          aside(w);
          return tf.sum(last(w));
        });
      const {value, grads} = collectGradients(f, [w]);
      tf.dispose([value, ...(grads as tf.Tensor[])]);
      return tensors;
    };
    const tensors = inBackward(() => undefined);
    expect(inBackward((x) => void tf.square(tf.square(tf.mul(x, 2))))).to.equal(tensors);
    w.dispose();
  });

  it('hands out each gradient before those of what was used earlier', () => {
    const xs = [1, 2, 3].map((value) => tf.variable(tf.tidy(() => tf.scalar(value))));
    const order: number[] = [];
    const value = streamGradients(
      () => tf.tidy(() => xs.reduce<tf.Tensor>((product, x) => tf.mul(product, x), tf.scalar(1))),
      xs,
      (index, gradient) => {
        order.push(index);
        gradient.dispose();
      },
    );
    expect(order).to.deep.equal([2, 1, 0]);
    tf.dispose([value, ...xs]);
  });

  it('gives the gradient of a variable that is the result itself, as tfjs does', async () => {
    const [w, unused] = [2, 3].map((value) => tf.variable(tf.tidy(() => tf.scalar(value))));
    for (const take of [variableGrads, tf.variableGrads]) {
      const {grads} = take(() => w!, [w!, unused!]);
      expect(Object.keys(grads)).to.deep.equal([w!.name]);
      expect(await grads[w!.name]!.data()).to.deep.equal(new Float32Array([1]));
      tf.dispose(grads);
    }
    tf.dispose([w!, unused!]);
  });

  it('frees gradients in terms, which are in no scope, when a later op fails', () => {
    const w = tf.variable(tf.tidy(() => tf.ones([2, 2])));
    const fails = tf.customGrad((x) => ({
      value: tf.clone(x as tf.Tensor),
      gradFunc: () => {
        throw new Error('in the backward pass');
      },
    }));
    const inTerms = tf.customGrad((...args) => ({
      value: tf.add(args[0] as tf.Tensor, args[1] as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => {
        const term = {kind: termKind('dense')!, tensors: {values: tf.clone(dy)}};
        return [FactoredGradient.kept([2, 2], 0, [term]), tf.clone(dy)];
      },
    }));
    const {numTensors} = tf.memory();
    const f = (): tf.Tensor => tf.tidy(() => tf.sum(inTerms(w, fails(w))));
    expect(() => collectGradients(f, [w])).to.throw('in the backward pass');
    expect(tf.memory().numTensors).to.equal(numTensors);
    w.dispose();
  });

  if (backend === 'webgpu') return; // it cannot read a number at once
  it('hands out the gradient of a variable when no custom gradient reads it any more', async () => {
    const w = tf.variable(tf.scalar(2));
    const u = tf.variable(tf.scalar(3));
    const timesW = tf.customGrad((x) => ({
      value: tf.mul(x as tf.Tensor, w),
      gradFunc: (dy: tf.Tensor) => tf.mul(dy, w),
    }));
    const gradients: number[] = [];
    const value = streamGradients(
      () => tf.mul(timesW(tf.mul(u, 1)), w),
      [u, w],
      (index, gradient) => {
        gradients[index] = gradient.dataSync()[0]!;
        tf.tidy(() => w.assign(tf.scalar(NaN)));
      },
    );
    // u·w² with one w in a closure, which counts as constant.
    expect(gradients).to.deep.equal([4, 6]);
    tf.dispose([w, u, value]);
  });
});
