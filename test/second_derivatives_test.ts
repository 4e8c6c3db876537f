import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {leanOptimizer, OwLoreOptimizer, variableGrads} from '../src';
import {describeFastBackends, itAtLength} from './support/backends';

/* What docs/your-model.md says, against formulas in float64. */

type Numbers = readonly number[];

const page = readFileSync(new URL('../docs/your-model.md', import.meta.url), 'utf8');

/** Functions with their second derivatives. */
const functions: Record<string, [(x: tf.Tensor) => tf.Tensor, (x: number) => number]> = {
  'tanh(x)': [(x) => tf.tanh(x), (x) => -2 * Math.tanh(x) * (1 - Math.tanh(x) ** 2)],
  'sigmoid(x)': [(x) => tf.sigmoid(x), (x) => sigmoid(x) * (1 - sigmoid(x)) * (1 - 2 * sigmoid(x))],
  'exp(x)': [(x) => tf.exp(x), (x) => Math.exp(x)],
  'x · sigmoid(x)': [
    (x) => tf.mul(x, tf.sigmoid(x)),
    (x) => sigmoid(x) * (1 - sigmoid(x)) * (2 + x * (1 - 2 * sigmoid(x))),
  ],
  'exp(x²)': [(x) => tf.exp(tf.square(x)), (x) => Math.exp(x * x) * (2 + 4 * x * x)],
  'leakyRelu(x²)': [(x) => tf.leakyRelu(tf.square(x)), () => 2],
  'softplus(x)': [(x) => tf.softplus(x), (x) => sigmoid(x) * (1 - sigmoid(x))],
  'relu(x) · x': [(x) => tf.mul(tf.relu(x), x), () => 2],
};

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** The gradient of `f` by central differences. */
function differences(f: (values: Numbers) => number, at: Numbers): number[] {
  const h = 1e-5;
  const moved = (i: number, by: number): number =>
    f(at.map((value, j) => (i === j ? value + by : value)));
  return at.map((_, i) => (moved(i, h) - moved(i, -h)) / (2 * h));
}

/** What `grads` gives for one variable of these values. */
async function gradientOf(
  grads: typeof tf.variableGrads,
  shape: [number, number],
  values: Numbers,
  loss: (w: tf.Tensor2D) => tf.Tensor,
): Promise<number[]> {
  const w = tf.tidy(() => tf.variable(tf.tensor2d([...values], shape)));
  const scalar = (): tf.Scalar => tf.tidy(() => tf.reshape(loss(w), []));
  try {
    const gradient = tf.tidy(() => grads(scalar, [w]).grads[w.name]!);
    const result = [...(await gradient.data())];
    gradient.dispose();
    return result;
  } finally {
    w.dispose();
  }
}

describeFastBackends('second derivatives', () => {
  it('are those of the page, and of tf.variableGrads what it says', async () => {
    const rows = [...page.matchAll(/^\| `([^`]+)` +\| (\S+) +\| (\S+) +\| (.+?) +\|$/gm)];
    expect(rows.map(([, name]) => name)).to.deep.equal(Object.keys(functions));
    for (const [, name, stated, ours, stock] of rows) {
      const [f, second] = functions[name!]!;
      const loss = (w: tf.Tensor): tf.Tensor => tf.sum(tf.grad(f)(w));
      expect(second(0.7).toFixed(4), name).to.equal(stated);
      expect(ours, name).to.equal(stated);
      const [value] = await gradientOf(variableGrads, [1, 1], [0.7], loss);
      expect(value, name).to.be.closeTo(second(0.7), 1e-5 * Math.max(1, second(0.7)));
      if (stock === 'an error') {
        const error = await gradientOf(tf.variableGrads, [1, 1], [0.7], loss).catch(String);
        expect(error, name).to.match(/Cannot (find a connection|compute gradient)/);
      } else {
        const [other] = await gradientOf(tf.variableGrads, [1, 1], [0.7], loss);
        expect(other!.toFixed(4), name).to.equal(stock);
      }
    }
  });

  it('of a gradient penalty: those of float64, where tf.variableGrads has others', async () => {
    const units = 4;
    const rows = [0.7, -0.4, 1.1, 0.6, -0.9, 0.2];
    const out = [0.8, -0.5, 0.3, 0.9];
    const weights = [0.5, -0.3, 0.2, 0.9, -0.7, 0.4, 0.6, -0.2];
    const reference = differences((w) => {
      const row = (a: number, b: number): number => {
        const slopes = out.map((o, j) => o * (1 - Math.tanh(a * w[j]! + b * w[units + j]!) ** 2));
        const by = (k: number): number =>
          slopes.reduce((sum, s, j) => sum + s * w[units * k + j]!, 0);
        return (Math.hypot(by(0), by(1)) - 1) ** 2;
      };
      return (row(0.7, -0.4) + row(1.1, 0.6) + row(-0.9, 0.2)) / 3;
    }, weights);
    const penalty = (w: tf.Tensor2D): tf.Tensor => {
      const critic = (x: tf.Tensor): tf.Tensor =>
        tf.matMul(tf.tanh(tf.matMul(x as tf.Tensor2D, w)), tf.tensor2d(out, [units, 1]));
      const gradient = tf.grad(critic)(tf.tensor2d(rows, [3, 2]));
      const length = tf.sqrt(tf.sum(tf.square(gradient), 1));
      return tf.mean(tf.square(tf.sub(length, 1)));
    };
    const before = tf.memory().numTensors;
    const ours = await gradientOf(variableGrads, [2, units], weights, penalty);
    expect(tf.memory().numTensors).to.equal(before);
    ours.forEach((value, i) => expect(value).to.be.closeTo(reference[i]!, 1e-5));
    const stock = await gradientOf(tf.variableGrads, [2, units], weights, penalty);
    expect(Math.max(...stock.map((value, i) => Math.abs(value - reference[i]!)))).to.be.above(0.05);
  });

  it('of the softmax cross entropy, whose gradient reads what it has computed', async () => {
    const weights = [0.5, -0.3, 0.2, 0.9];
    const reference = differences(([a, b, c, d]) => {
      const row = (x: number, y: number, label: number): number => {
        const second = sigmoid(x * b! + y * d! - x * a! - y * c!) - label;
        return (second * (b! - a!)) ** 2 + (second * (d! - c!)) ** 2;
      };
      return row(0.7, -0.4, 0) + row(1.1, 0.6, 1);
    }, weights);
    const loss = (w: tf.Tensor2D): tf.Tensor => {
      const labels = tf.tensor2d([1, 0, 0, 1], [2, 2]);
      const entropy = (x: tf.Tensor): tf.Tensor =>
        tf.losses.softmaxCrossEntropy(
          labels,
          tf.matMul(x as tf.Tensor2D, w),
          undefined,
          0,
          tf.Reduction.SUM,
        );
      return tf.sum(tf.square(tf.grad(entropy)(tf.tensor2d([0.7, -0.4, 1.1, 0.6], [2, 2]))));
    };
    const ours = await gradientOf(variableGrads, [2, 2], weights, loss);
    ours.forEach((value, i) => expect(value).to.be.closeTo(reference[i]!, 1e-5));
    const stock = await gradientOf(tf.variableGrads, [2, 2], weights, loss);
    expect(Math.max(...stock.map((value, i) => Math.abs(value - reference[i]!)))).to.be.above(0.05);
  });

  itAtLength(
    'train a network by its differential equation, which tf.train.adam cannot',
    async () => {
      const x = tf.reshape(tf.linspace(0, 1, 32), [32, 1]);
      const solution = tf.sin(tf.mul(Math.PI, x));
      const source = tf.mul(Math.PI ** 2, solution);
      const ends = tf.tensor2d([[0], [1]]);
      const train = async (optimizer: tf.Optimizer, steps: number): Promise<number> => {
        const model = tfl.sequential();
        for (const [seed, units] of [16, 16, 1].entries()) {
          const activation = units === 1 ? 'linear' : 'tanh';
          const kernelInitializer = tfl.initializers.glorotNormal({seed: seed + 1});
          const inputShape = [seed === 0 ? 1 : 16];
          model.add(tfl.layers.dense({units, activation, kernelInitializer, inputShape}));
        }
        const u = (t: tf.Tensor): tf.Tensor => model.apply(t) as tf.Tensor;
        const loss = (): tf.Scalar => {
          const equation = tf.mean(tf.square(tf.add(tf.grad(tf.grad(u))(x), source)));
          return tf.add(equation, tf.mul(100, tf.mean(tf.square(u(ends)))));
        };
        try {
          for (let step = 0; step < steps; step++) optimizer.minimize(loss);
          const error = tf.tidy(() => tf.max(tf.abs(tf.sub(u(x), solution))));
          const [value] = await error.data();
          error.dispose();
          return value!;
        } finally {
          model.dispose();
          optimizer.dispose();
        }
      };
      expect(await train(new OwLoreOptimizer({learningRate: 0.02}), 150)).to.be.below(0.05);
      expect(await train(leanOptimizer(tf.train.adam(0.02)), 150)).to.be.below(0.05);
      expect(await train(tf.train.adam(0.02), 1).catch(String)).to.include(
        'Cannot compute gradient',
      );
      tf.dispose([x, solution, source, ends]);
    },
  );
});
