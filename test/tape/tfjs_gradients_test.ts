import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {factoredAxisOf} from '../../src/tape/recording';
import {streamVariableGrads, valueAndGrads, variableGrads} from '../../src/tape/tfjs_gradients';
import {defaultBackend} from '../support/backends';

type Tape = Pick<typeof tf, 'variableGrads' | 'valueAndGrads'>;

/** a + b, with a gradient that a test chooses. */
const kernelName = 'TestSum';

describe('what stock tfjs refuses', () => {
  let x: tf.Tensor;
  let [w, frozen]: tf.Variable[] = [];
  let gradients: (dy: tf.Tensor) => Record<string, () => tf.Tensor>;

  before(() => {
    x = tf.tensor1d([3, 4]);
    w = tf.variable(tf.tidy(() => tf.tensor1d([1, 2])));
    frozen = tf.variable(
      tf.tidy(() => tf.scalar(1)),
      false,
    );
    const kernelFunc: tf.KernelFunc = ({inputs: {a, b}}) => tf.add(a as tf.Tensor, b as tf.Tensor);
    tf.registerKernel({kernelName, backendName: defaultBackend, kernelFunc});
    tf.registerGradient({kernelName, gradFunc: (dy) => gradients(dy as tf.Tensor)});
  });
  after(() => {
    tf.dispose([x, w!, frozen!]);
    tf.unregisterKernel(kernelName, defaultBackend);
    tf.unregisterGradient(kernelName);
  });

  /** The gradient of Σ TestSum(x, x) by one that gives these for its inputs. */
  const givenBy =
    (given: typeof gradients) =>
    ({valueAndGrads}: Tape): unknown => {
      gradients = given;
      return valueAndGrads((a) => tf.engine().runKernel<tf.Tensor>(kernelName, {a: a, b: a}))([x]);
    };

  const cases: Record<string, (tape: Tape) => unknown> = {
    'no variable that is trained': ({variableGrads}) => variableGrads(() => tf.sum(w!), [frozen!]),
    'a loss that is no scalar': ({variableGrads}) =>
      variableGrads(() => tf.neg(w!) as tf.Scalar, [w!]),
    'a loss that is no tensor': ({variableGrads}) => variableGrads(() => 3 as never, [w!]),
    'a loss without a variable': ({variableGrads}) => variableGrads(() => tf.scalar(3), [w!]),
    'no argument': ({valueAndGrads}) => valueAndGrads(() => tf.scalar(1))([]),
    'a dy of integers': ({valueAndGrads}) =>
      valueAndGrads((t) => tf.neg(t))([x], tf.cast(x, 'int32')),
    'a function that does not use its argument': ({valueAndGrads}) =>
      valueAndGrads(() => tf.scalar(1))([x]),
    'a function that uses one of its arguments': ({valueAndGrads}) =>
      valueAndGrads((t) => tf.neg(t))([x, w!]),
    'an op that has no gradient': ({valueAndGrads}) =>
      valueAndGrads((t) => tf.topk(t, 1).values)([x]),
    'an op of floats that has no gradient': ({valueAndGrads}) =>
      valueAndGrads((t) => tf.cumprod(t))([x]),
    'a gradient that leaves out an input': givenBy((dy) => ({a: () => dy})),
    'a gradient of integers': givenBy((dy) => ({a: () => dy, b: () => tf.cast(dy, 'int32')})),
    'a gradient of another shape': givenBy((dy) => ({a: () => dy, b: () => tf.sum(dy)})),
  };

  for (const [title, take] of Object.entries(cases)) {
    it(`is refused in the same words, and leaves no tensor: ${title}`, () => {
      const messageOf = (tape: Tape): string => {
        try {
          tf.tidy(() => void take(tape));
        } catch (error) {
          return (error as Error).message;
        }
        return 'nothing was thrown';
      };
      const stock = messageOf(tf);
      expect(stock).not.to.equal('nothing was thrown');
      const {numTensors} = tf.memory();
      expect(messageOf({variableGrads, valueAndGrads})).to.equal(stock);
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('is nothing in a gradient that fits', async () => {
    const take = givenBy((dy) => ({a: () => dy, b: () => tf.mul(dy, 2)}));
    for (const tape of [tf, {variableGrads, valueAndGrads}]) {
      const {grads} = tf.tidy(() => take(tape) as {grads: tf.Tensor[]});
      expect(await grads[0]!.data()).to.deep.equal(new Float32Array([3, 3]));
      tf.dispose(grads);
    }
  });
});

describe('variableGrads', () => {
  it('has the order of the variables, in which optimizers of tfjs keep their state', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => tf.variable(tf.scalar(2), name !== 'c', `in_order_${name}`)); // prettier-ignore
    const loss = (names: 'ab' | 'ba') => (): tf.Scalar =>
      tf.tidy(() => {
        const [first, second] = names === 'ab' ? [a!, b!] : [b!, a!];
        return tf.add(tf.mul(tf.square(first), 3), tf.add(second, c!));
      });
    for (const list of [undefined, [a!, c!, b!]]) {
      for (const names of ['ab', 'ba'] as const) {
        const {value, grads} = variableGrads(loss(names), list);
        const stock = tf.variableGrads(loss(names), list);
        expect(Object.keys(grads)).to.deep.equal(Object.keys(stock.grads));
        tf.dispose([value, grads, stock] as tf.TensorContainer);
      }
    }
    tf.dispose([a!, b!, c!]);
  });

  it('takes all variables that are trained if it is told of none', async () => {
    const [w, frozen] = tf.tidy(() => [
      tf.variable(tf.scalar(2)),
      tf.variable(tf.scalar(3), false),
    ]);
    const loss = (): tf.Scalar => tf.mul(w, frozen);
    const before = tf.memory().numTensors;
    for (const varList of [undefined, null as never, [w, frozen]]) {
      const ours = variableGrads(loss, varList);
      const stock = tf.variableGrads(loss, varList);
      expect(Object.keys(ours.grads).sort()).to.deep.equal(Object.keys(stock.grads).sort());
      expect(await ours.grads[w.name]!.data()).to.deep.equal(new Float32Array([3]));
      tf.dispose([ours, stock]);
    }
    expect(tf.memory().numTensors).to.equal(before);
    tf.dispose([w, frozen]);
  });

  it('streams the gradients, and tells ops along which axis the rows of each are asked for', async () => {
    const [a, b] = tf.tidy(() => [tf.variable(tf.scalar(2)), tf.variable(tf.scalar(3))]);
    const axes: unknown[] = [];
    const gradients: Record<string, number> = {};
    const value = streamVariableGrads(
      () => {
        axes.push(factoredAxisOf(a), factoredAxisOf(b));
        return tf.mul(a, b);
      },
      [a, b],
      ({name}, gradient) => {
        gradients[name] = gradient.dataSync()[0]!;
        gradient.dispose();
      },
      (variable) => (variable === a ? 1 : undefined),
    );
    expect([...axes, factoredAxisOf(a)]).to.deep.equal([1, undefined, undefined]);
    expect(gradients).to.deep.equal({[a.name]: 3, [b.name]: 2});
    tf.dispose([a, b, value]);
  });

  it('names a list that is none of variables', () => {
    const layer = tfl.layers.dense({units: 1, inputShape: [1]});
    const model = tfl.sequential({layers: [layer]});
    const x = tf.scalar(1);
    const variable = model.weights[0]!.read();
    for (const varList of [variable, [x], [variable, null], model.weights, 'x', 1, {}]) {
      expect(() => variableGrads(() => tf.scalar(1), varList as tf.Variable[])).to.throw(
        /^variableGrads: varList must be a list of tf\.Variables .*; got /,
      );
    }
    x.dispose();
    model.dispose();
  });
});
