import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {recomputeGrad} from '../../src/tape/recompute';
import {collectGradients} from '../../src/tape/gradients';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends} from '../support/backends';

type Unary = (x: tf.Tensor) => tf.Tensor;

/** The derivative, taken by whatever gives `tf.grad` its gradients. */
const derivative =
  (f: Unary): Unary =>
  (x) =>
    tf.grad(f)(x);

/** constant(x) · x: to the gradient the first factor is a constant, though its data are x's. */
const constantTimes: Unary = (x) => {
  const constant = tf.customGrad((t) => ({
    value: tf.clone(t as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }));
  return tf.mul(constant(x), x);
};

const x = 0.7;
const th = Math.tanh(x);
const s = 1 / (1 + Math.exp(-x));

/** Functions with their second derivatives at x. */
const secondDerivatives: Array<[string, Unary, number]> = [
  ['a power', (t) => tf.mul(tf.mul(t, t), t), 6 * x],
  ['an op that saves its output, tanh', (t) => tf.tanh(t), -2 * th * (1 - th ** 2)],
  ['an op that saves its output, sigmoid', (t) => tf.sigmoid(t), s * (1 - s) * (1 - 2 * s)],
  [
    'an op that saves its output, exp',
    (t) => tf.exp(tf.mul(t, t)),
    Math.exp(x * x) * (2 + 4 * x * x),
  ],
  ['a quotient', (t) => tf.div(1, t), 2 / x ** 3],
  ['a factor that counts as constant', constantTimes, 0],
  ['a tensor and its reshaped version', (t) => tf.mul(t, tf.reshape(tf.reshape(t, [1, 1]), [])), 2],
  ['a custom gradient that saves its input', square(), 2],
  ['a custom gradient that saves what it has computed', cube(), 6 * x],
  ['an op whose gradient compares, leakyRelu', (t) => tf.leakyRelu(tf.mul(t, t)), 2],
  ['the largest of several', (t) => tf.max(tf.stack([tf.mul(t, t), tf.sub(t, 1)])), 2],
];

/** x³, by a custom gradient that reads x². */
function cube(): Unary {
  return (t) =>
    tf.customGrad((x, save) => {
      const squared = tf.square(x as tf.Tensor);
      (save as tf.GradSaveFunc)([squared]);
      return {
        value: tf.mul(squared, x as tf.Tensor),
        gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => tf.mul(dy, tf.mul(3, saved!)),
      };
    })(t);
}

/** x², by a custom gradient. */
function square(): Unary {
  return (t) =>
    tf.customGrad((x, save) => {
      (save as tf.GradSaveFunc)([x as tf.Tensor]);
      return {
        value: tf.mul(x as tf.Tensor, x as tf.Tensor),
        gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => tf.mul(dy, tf.mul(2, saved!)),
      };
    })(t);
}

describeBackends('gradients of gradients', () => {
  /** Gradient of f at x, and the number of tensors it has left behind beside value and gradient. */
  const gradientAt = async (f: Unary): Promise<number> => {
    const variable = tf.variable(tf.scalar(x));
    const before = tf.memory().numTensors;
    const {value, grads} = collectGradients(() => tf.tidy(() => f(variable)), [variable]);
    expect(tf.memory().numTensors).to.equal(before + 2);
    const [gradient] = await grads[0]!.data();
    tf.dispose([variable, value, grads[0]!]);
    return gradient!;
  };

  for (const [name, f, expected] of secondDerivatives) {
    it(`second derivative of ${name}`, async () => {
      expect(await gradientAt(derivative(f))).to.be.closeTo(expected, 1e-5);
    });

    it(`second derivative of ${name}, in a checkpoint`, async () => {
      expect(await gradientAt(recomputeGrad(derivative(f)))).to.be.closeTo(expected, 1e-5);
      expect(await gradientAt(derivative(recomputeGrad(f)))).to.be.closeTo(expected, 1e-5);
    });
  }

  it('third derivative', async () => {
    const power: Unary = (t) => tf.mul(tf.square(t), tf.square(t));
    expect(await gradientAt(derivative(derivative(power)))).to.be.closeTo(24 * x, 1e-4);
  });

  it('value and gradient of one function count both', async () => {
    const f: Unary = (t) => {
      const {value, grad} = tf.valueAndGrad(
        recomputeGrad((u: tf.Tensor) => tf.mul(u, square()(u))),
      )(t);
      return tf.add(value, grad);
    };
    expect(await gradientAt(f)).to.be.closeTo(3 * x * x + 6 * x, 1e-5);
  });

  it('of a custom gradient whose forward pass takes a gradient', async () => {
    const f: Unary = (t) =>
      tf.customGrad((u) => ({
        value: derivative((v) => tf.mul(v, tf.mul(v, v)))(u as tf.Tensor),
        gradFunc: (dy: tf.Tensor) => tf.mul(dy, 5),
      }))(t);
    expect(await gradientAt(f)).to.be.closeTo(5, 1e-6);
  });

  it('of a custom gradient whose backward pass takes a gradient', async () => {
    const f: Unary = (t) =>
      tf.customGrad((u, save) => {
        (save as tf.GradSaveFunc)([u as tf.Tensor]);
        return {
          value: tf.square(u as tf.Tensor),
          gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) =>
            tf.mul(dy, derivative((v) => tf.square(v))(saved!)),
        };
      })(t);
    expect(await gradientAt(f)).to.be.closeTo(2 * x, 1e-6);
  });

  it('a gradient penalty, as with the stock tape', async () => {
    const w = tf.variable(tf.randomNormal([4, 3], 0, 1, 'float32', 1));
    const b = tf.variable(tf.randomNormal([3], 0, 1, 'float32', 2));
    const input = tf.randomNormal([2, 4], 0, 1, 'float32', 3);
    const loss = (): tf.Scalar => {
      const score = (t: tf.Tensor): tf.Tensor => tf.sum(tf.square(tf.add(tf.matMul(t, w), b)));
      return tf.sum(tf.square(tf.grad(score)(input)));
    };
    const ours = tf.tidy(() => variableGrads(loss, [w, b]));
    const stock = tf.tidy(() => tf.variableGrads(loss, [w, b]));
    for (const {name} of [w, b]) {
      const expected = await stock.grads[name]!.data();
      const actual = await ours.grads[name]!.data();
      actual.forEach((value, i) => expect(value).to.be.closeTo(expected[i]!, 1e-4));
    }
    tf.dispose([w, b, input, ours, stock]);
  });

  it('a gradient of something inside that the variables do not change', async () => {
    const f: Unary = (t) => tf.mul(t, derivative((u) => tf.square(u))(tf.scalar(3)));
    expect(await gradientAt(f)).to.be.closeTo(6, 1e-6);
  });

  it('leaves the engine as it was', () => {
    const engine = tf.engine() as unknown as {gradients: unknown; runKernelFunc: unknown};
    const {gradients, runKernelFunc} = engine;
    const variable = tf.variable(tf.scalar(x));
    const fail = (): tf.Tensor => {
      throw new Error('in the inner gradient');
    };
    expect(() => collectGradients(() => tf.grad(fail)(variable), [variable])).to.throw(
      'in the inner gradient',
    );
    expect(Object.keys(engine)).not.to.include.members(['gradients']);
    expect(engine.gradients).to.equal(gradients);
    expect(engine.runKernelFunc).to.equal(runKernelFunc);
    variable.dispose();
  });
});
