import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback} from '../../src/index';
import {variableOf} from '../../src/tfjs/models';

const makers: Record<string, () => tf.Optimizer> = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.05, 0.9),
  rmsprop: () => tf.train.rmsprop(0.02, 0.9, 0.5, 1e-7, true),
  adam: () => tf.train.adam(0.02),
  adamax: () => tf.train.adamax(0.02),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(1),
};

const {dense} = tfl.layers;
const seeded = (seed: number): {kernelInitializer: ReturnType<typeof tfl.initializers.zeros>} => ({
  kernelInitializer: tfl.initializers.glorotNormal({seed}),
});

/** Hidden layers, which are the blocks, of equal shapes or not, and a head. */
function createModel(units: readonly number[]): tfl.LayersModel {
  const layers = units.map((count, i) =>
    dense({
      ...{name: `block${i}`, units: count, activation: 'tanh', ...seeded(i + 1)},
      ...(i === 0 && {inputShape: [3]}),
    }),
  );
  return tfl.sequential({layers: [...layers, dense({units: 1, ...seeded(9)})]});
}

describe("tfjs's own optimizers in a loop around minimize, with a callback", () => {
  let x: tf.Tensor2D;
  let y: tf.Tensor2D;
  before(async () => {
    await tf.ready();
    x = tf.tensor2d([0.3, -0.2, 0.9, -0.4, 0.8, 0.1], [2, 3]);
    y = tf.tensor2d([0.7, -0.6], [2, 1]);
  });
  after(() => tf.dispose([x, y]));
  const lossOf = (model: tfl.LayersModel) => (): tf.Scalar =>
    tf.tidy(() => tf.losses.meanSquaredError(y, model.apply(x) as tf.Tensor));
  const weightsOf = (model: tfl.LayersModel): number[][] =>
    model.getWeights().map((weight) => [...weight.dataSync()]);

  for (const [name, create] of Object.entries(makers)) {
    for (const units of [
      [3, 3, 3, 3],
      [3, 4, 5, 2],
    ]) {
      it(`${name}, blocks of ${units.join(', ')}: a variable has the state of its name`, () => {
        const {numTensors} = tf.memory();
        const model = createModel(units);
        const optimizer = create();
        const callback = new LayerSamplingCallback({gamma: 2, interval: 2, seed: 3});
        // Some steps without the callback come before, of all variables.
        for (let step = 0; step < 2; step++) optimizer.minimize(lossOf(model));
        callback.attach(model, optimizer);
        for (let step = 0; step < 12; step++) {
          callback.step();
          optimizer.minimize(lossOf(model));
        }
        callback.restore();
        const {periods} = callback.blockHistory;
        expect(new Set(periods.flat()).size).to.be.greaterThan(2);

        const trained = weightsOf(model);
        model.dispose();
        optimizer.dispose();
        const left = tf.memory().numTensors - numTensors;

        // The same by hand: tfjs finds the state of each variable where it is given the whole list.
        const other = createModel(units);
        const byHand = create();
        const all = other.weights.map(variableOf);
        for (let step = -2; step < 12; step++) {
          const on = step < 0 ? null : periods[Math.floor(step / 2)]!;
          other.layers.forEach((layer) => {
            const isOn = !on || !layer.name.startsWith('block') || on.includes(layer.name);
            for (const weight of layer.weights) variableOf(weight).trainable = isOn;
          });
          byHand.minimize(lossOf(other), false, all);
        }
        expect(trained).to.deep.equal(weightsOf(other));
        other.dispose();
        byHand.dispose();
        // Some of tfjs's optimizers keep scalars.
        expect(tf.memory().numTensors - numTensors).to.equal(2 * left);
      });
    }
  }

  it('go on from the state of a saved model while that model exists, also where few blocks are on', async () => {
    const model = createModel([3, 3, 3, 3]);
    model.compile({optimizer: tf.train.adam(0.02), loss: 'meanSquaredError'});
    const config = {epochs: 3, verbose: 0, shuffle: false};
    await model.fit(x, y, config);
    let artifacts: tf.io.ModelArtifacts | undefined;
    await model.save(
      tf.io.withSaveHandler((saved) => {
        artifacts = saved;
        return Promise.resolve({
          modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'},
        });
      }),
      {includeOptimizer: true},
    );
    const load = (): Promise<tfl.LayersModel> => tfl.loadLayersModel(tf.io.fromMemory(artifacts!));
    const [stock, all, few] = [await load(), await load(), await load()];
    await stock.fit(x, y, {...config, epochs: 1});
    const firstStep = weightsOf(stock);
    await stock.fit(x, y, {...config, epochs: 1});
    await all.fit(x, y, {...config, epochs: 2, callbacks: [new LayerSamplingCallback({gamma: 4})]});
    expect(weightsOf(all)).to.deep.equal(weightsOf(stock));

    const callback = new LayerSamplingCallback({probabilities: [0, 0, 1, 0], interval: 1});
    await few.fit(x, y, {...config, epochs: 1, callbacks: [callback]});
    const before = weightsOf(model);
    expect(callback.blockHistory.periods).to.deep.equal([['block2']]);
    // kernel and bias of block 2 and of the head made the step that Adam makes of the saved moments
    const isOn = [4, 5, 8, 9];
    expect(weightsOf(few)).to.deep.equal(
      before.map((values, i) => (isOn.includes(i) ? firstStep[i] : values)),
    );
    expect((await few.optimizer.getWeights()).length).to.equal(1 + 2 * 10);
    for (const each of [model, stock, all, few]) {
      each.optimizer.dispose();
      each.dispose();
    }
  });

  it('go on from state that was loaded into variables of other names, by position', async () => {
    const train = (model: tfl.LayersModel, optimizer: tf.Optimizer): void => {
      const callback = new LayerSamplingCallback({gamma: 4, interval: 2});
      callback.attach(model, optimizer);
      for (let step = 0; step < 3; step++) {
        callback.step();
        optimizer.minimize(lossOf(model));
      }
      callback.restore();
    };
    const first = createModel([3, 3, 3, 3]);
    const before = tf.train.adam(0.02);
    train(first, before);
    const second = createModel([3, 3, 3, 3]);
    second.setWeights(first.getWeights());
    const state = (await before.getWeights()).map(({name, tensor}) => ({
      name: name === 'iter' ? name : `of_another_process/${name}`,
      tensor,
    }));
    const after = tf.train.adam(0.02);
    await after.setWeights(state);
    train(first, before);
    train(second, after);
    expect(weightsOf(second)).to.deep.equal(weightsOf(first));
    for (const each of [first, second]) each.dispose();
    for (const each of [before, after]) each.dispose();
  });
});
