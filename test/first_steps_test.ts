import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, leanOptimizer, OwLoreOptimizer, owlore} from '../src';
import * as wasm from '../src/kernels/wasm';
import {backends, defaultBackend} from './support/backends';
import {rejection} from './support/rejection';
import {expectWarning} from './support/warnings';

/* What people stumble over in the first minutes with the library. */

const {dense} = tfl.layers;
const createModel = (): tfl.Sequential =>
  tfl.sequential({
    layers: [dense({units: 3, inputShape: [2]}), dense({units: 3}), dense({units: 1})],
  });
const createData = (): [tf.Tensor, tf.Tensor] => [tf.ones([4, 2]), tf.ones([4, 1])];

/** Trains for an epoch, and frees all but the optimizer. */
async function fit(
  optimizer: tf.Optimizer,
  callbacks: tfl.Callback[] = [],
  model = createModel(),
): Promise<void> {
  const [x, y] = createData();
  model.compile({optimizer, loss: 'meanSquaredError'});
  await model.fit(x, y, {batchSize: 1, verbose: 0, callbacks});
  tf.dispose([x, y]);
}

describe('mistakes', () => {
  it('a name in alwaysOn that picks no weight', async () => {
    const model = createModel();
    const head = model.layers[2]!.name;
    const callback = new LayerSamplingCallback({interval: 1, alwaysOn: [head, 'haed']});
    expect((await rejection(fit(owlore(), [callback], model))).message)
      .to.match(
        /alwaysOn has 'haed', but no weight or layer of the model is called that\. Weights: /,
      )
      .and.to.include(`${head}/kernel`);
    expect(model.trainableWeights).to.have.length(6);
    model.dispose();
  });

  it('a pattern in alwaysOn that matches no weight', async () => {
    const callback = new LayerSamplingCallback({interval: 1, alwaysOn: /haed/});
    expect((await rejection(fit(owlore(), [callback]))).message).to.include('alwaysOn has /haed/');
  });

  for (const name of ['project', 'decay'] as const) {
    it(`a name in ${name} that picks no variable: one warning`, () => {
      const other = tf.variable(tf.ones([1]), true, `other-than-${name}`);
      const w = tf.variable(tf.ones([4, 4]), true, `selected-by-${name}`);
      const optimizer = new OwLoreOptimizer({[name]: [w.name, 'kernle']});
      expectWarning(
        new RegExp(`${name} has 'kernle', but no variable is called that; .* such as '${w.name}'`),
      );
      optimizer.applyGradients({}); // of nothing there is nothing to name
      for (let i = 0; i < 2; i++) optimizer.minimize(() => tf.sum(tf.square(w)), false, [w]);
      optimizer.dispose();
      tf.dispose([w, other]);
    });
  }

  it('scores that are still a promise', () => {
    const scores = Promise.resolve([1, 2]) as unknown as number[];
    expect(() => new LayerSamplingCallback({scores})).to.throw(/scores is a promise: await it/);
  });

  it('a learning rate in the place of the options, or as text', () => {
    expect(() => new OwLoreOptimizer(0.01 as never)).to.throw(
      'options must be a plain object, such as {learningRate: 0.01}; got 0.01',
    );
    expect(() => new OwLoreOptimizer({learningRate: '1e-3' as never})).to.throw(
      /learningRate must be a number >= 0, a schedule \(.*\) or a function of the step; got '1e-3'/,
    );
  });

  it('a name in the place of an optimizer', () => {
    expect(() => leanOptimizer('adam' as never)).to.throw(
      "leanOptimizer: optimizer must be an optimizer of tfjs, such as tf.train.adam(1e-3); got 'adam'",
    );
  });

  it('one callback for two models in turns: one warning', async () => {
    const callback = new LayerSamplingCallback({interval: 1, gamma: 1});
    const models = [createModel(), createModel()];
    const optimizers = [owlore(), owlore()];
    expectWarning(/has trained another model since, .* need a callback each/);
    for (const i of [0, 1, 0, 1]) await fit(optimizers[i]!, [callback], models[i]);
    for (const model of models) model.dispose();
    for (const optimizer of optimizers) optimizer.dispose();
  });
});

if (backends.includes('wasm')) {
  describe('what the wasm backend of tfjs cannot train', () => {
    before(async () => {
      await tf.setBackend('wasm');
    });
    beforeEach(() => wasm.uninstallKernels());
    after(async () => {
      await wasm.installKernels();
      await tf.setBackend(defaultBackend);
    });

    const createEmbedding = (): tfl.Sequential =>
      tfl.sequential({
        layers: [
          tfl.layers.embedding({inputDim: 5, outputDim: 2, inputLength: 3}),
          tfl.layers.flatten(),
          dense({units: 1}),
        ],
      });
    const loss = (model: tfl.Sequential): tf.Scalar =>
      tf.mean(tf.square(model.apply(tf.tensor2d([[0, 1, 4]], [1, 3], 'int32')) as tf.Tensor));

    it('gradients by tf.variableGrads, applied by the optimizer', () => {
      const model = createEmbedding();
      const optimizer = owlore();
      tf.tidy(() => optimizer.applyGradients(tf.variableGrads(() => loss(model)).grads));
      expect(optimizer.iterations).to.equal(1);
      optimizer.dispose();
      model.dispose();
    });

    it('leanOptimizer(tf.train.adam())', () => {
      const model = createEmbedding();
      const optimizer = leanOptimizer(tf.train.adam());
      tf.tidy(() => void optimizer.minimize(() => loss(model)));
      expect(optimizer.iterations).to.equal(1);
      optimizer.dispose();
      model.dispose();
    });
  });
}
