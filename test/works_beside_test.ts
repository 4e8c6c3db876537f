import {mkdtemp, readdir, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, owlore} from '../src/index';
import {backends, defaultBackend} from './support/backends';
import {expectWarning} from './support/warnings';

/* What tfjs's users give to `fit`, options and other callbacks, beside this library's. */

describe('LayerSamplingCallback works beside', () => {
  const disposables: Array<{dispose(): void}> = [];
  let x: tf.Tensor2D;
  let y: tf.Tensor2D;
  beforeEach(() => {
    x = tf.randomNormal([16, 3], 0, 1, 'float32', 1);
    y = tf.randomNormal([16, 2], 0, 1, 'float32', 2);
  });
  afterEach(() => {
    tf.dispose([x, y]);
    for (const each of disposables.splice(0)) each.dispose();
  });

  function createModel(
    learningRate = 0.05,
    loss: tfl.ModelCompileArgs['loss'] = 'meanSquaredError',
  ): tfl.LayersModel {
    const optimizer = owlore(learningRate, {project: false});
    const model = tfl.sequential();
    for (let i = 0; i < 4; i++) {
      const kernelInitializer = tfl.initializers.glorotNormal({seed: i + 1});
      const shape = i === 0 ? {inputShape: [3]} : {};
      model.add(
        tfl.layers.dense({
          name: `b${i}`,
          units: 3,
          activation: 'tanh',
          kernelInitializer,
          ...shape,
        }),
      );
    }
    const kernelInitializer = tfl.initializers.glorotNormal({seed: 9});
    model.add(tfl.layers.dense({units: 2, kernelInitializer}));
    model.compile({optimizer, loss, metrics: ['accuracy']});
    disposables.push(model, optimizer);
    return model;
  }

  const createSampling = (): LayerSamplingCallback =>
    new LayerSamplingCallback({gamma: 2, interval: 1, sampler: 'permutation'});

  function fit(
    model: tfl.LayersModel,
    callbacks: unknown[],
    args: tfl.ModelFitArgs = {},
  ): Promise<tfl.History> {
    return model.fit(x, y, {
      batchSize: 4,
      shuffle: false,
      verbose: 0,
      callbacks: callbacks as tfl.Callback[],
      ...args,
    });
  }

  function values(model: tfl.LayersModel): Promise<number[][]> {
    return Promise.all(model.getWeights().map(async (weight) => [...(await weight.data())]));
  }

  async function valuesByName(model: tfl.LayersModel): Promise<Map<string, number[]>> {
    const entries = model.weights.map(async (weight): Promise<[string, number[]]> => [
      weight.name,
      [...(await weight.read().data())],
    ]);
    return new Map(await Promise.all(entries));
  }

  it('a name in compile: tfjs-layers takes those of its own alone', () => {
    const model = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
    expect(() => model.compile({optimizer: 'owlore', loss: 'meanSquaredError'})).to.throw(
      'Unknown Optimizer owlore',
    );
    model.dispose();
  });

  it('earlyStopping, and weights of the best epoch that are set back', async () => {
    // No step is small enough: the validation loss gets worse.
    const model = createModel(3);
    const best = {loss: Infinity, weights: new Map<string, number[]>()};
    const keepBest = new tfl.CustomCallback({
      onEpochEnd: async (_, logs) => {
        if (logs!.val_loss! >= best.loss) return;
        Object.assign(best, {loss: logs!.val_loss!, weights: await valuesByName(model)});
      },
    });
    const stopping = tfl.callbacks.earlyStopping({monitor: 'val_loss', patience: 2});
    const {epoch} = await fit(model, [createSampling(), keepBest, stopping], {
      epochs: 50,
      validationData: [x, y],
    });
    expect(epoch.length).to.be.within(3, 49);
    expect(await valuesByName(model)).not.to.deep.equal(best.weights);
    for (const weight of model.weights) {
      const value = tf.tensor(best.weights.get(weight.name)!, weight.shape as number[]);
      weight.write(value);
      value.dispose();
    }
    const [loss, accuracy] = model.evaluate(x, y, {batchSize: 16}) as tf.Scalar[];
    // The mean over four batches, against that over one.
    expect((await loss!.data())[0]).to.be.closeTo(best.loss, 1e-5 * best.loss);
    tf.dispose([loss!, accuracy!]);
  });

  it('classWeight: as training on what the weights multiply', async () => {
    tf.dispose([x, y]);
    x = tf.randomNormal([8, 3], 0, 1, 'float32', 3);
    const labels = [0, 1, 0, 1, 1, 0, 0, 1];
    y = tf.tensor2d(labels.map((label) => (label === 0 ? [1, 0] : [0, 1])));
    const weights = [3, 0.5];
    const rowWeights = tf.tensor1d(labels.map((label) => weights[label]!));
    const mean = (labels: tf.Tensor, outputs: tf.Tensor): tf.Tensor =>
      tfl.metrics.meanSquaredError(labels, outputs);
    const [weighted, reference] = [
      createModel(0.05, mean),
      createModel(0.05, (labels, outputs) => tf.mul(mean(labels, outputs), rowWeights)),
    ];
    await fit(weighted, [createSampling()], {
      batchSize: 8,
      epochs: 4,
      classWeight: {0: weights[0]!, 1: weights[1]!},
    });
    await fit(reference, [createSampling()], {batchSize: 8, epochs: 4});
    expect(await values(weighted)).to.deep.equal(await values(reference));
    rowWeights.dispose();
  });

  it('validationSplit: the rows before it are trained on, with all blocks evaluated', async () => {
    const [split, reference] = [createModel(), createModel()];
    const samplings = [createSampling(), createSampling()];
    const {history} = await fit(split, [samplings[0]], {epochs: 3, validationSplit: 0.25});
    const [xs, ys] = [tf.slice(x, 0, 12), tf.slice(y, 0, 12)];
    const [laterXs, laterYs] = [tf.slice(x, 12), tf.slice(y, 12)];
    const losses: number[] = [];
    for (let epoch = 0; epoch < 3; epoch++) {
      await reference.fit(xs, ys, {
        ...{batchSize: 4, epochs: 1, shuffle: false, verbose: 0, callbacks: [samplings[1]!]},
      });
      const results = reference.evaluate(laterXs, laterYs, {batchSize: 4}) as tf.Scalar[];
      losses.push((await results[0]!.data())[0]!);
      tf.dispose(results);
    }
    tf.dispose([xs, ys, laterXs, laterYs]);
    expect(await values(split)).to.deep.equal(await values(reference));
    expect(history.val_loss).to.deep.equal(losses);
    expect(new Set(losses).size).to.equal(3);
    expect(samplings[0]!.blockHistory).to.deep.equal(samplings[1]!.blockHistory);
  });

  it('initialEpoch: a training in two parts is one training', async () => {
    const [parts, whole] = [createModel(), createModel()];
    const samplings = [createSampling(), createSampling()];
    await fit(parts, [samplings[0]], {epochs: 2});
    const {epoch} = await fit(parts, [samplings[0]], {epochs: 5, initialEpoch: 2});
    await fit(whole, [samplings[1]], {epochs: 5});
    expect(epoch).to.deep.equal([2, 3, 4]);
    expect(samplings[0]!.blockHistory).to.deep.equal(samplings[1]!.blockHistory);
    expect(await values(parts)).to.deep.equal(await values(whole));
  });

  it('initialEpoch: too few batches are told by those that are left', async () => {
    expectWarning(
      /at most 1 of 4 blocks can be trained in so few steps \(4, with other blocks every 4\)/,
    );
    const sampling = new LayerSamplingCallback({gamma: 1, interval: 4});
    await fit(createModel(), [sampling], {epochs: 5, initialEpoch: 4});
  });

  for (const [yieldEvery, pauses] of [
    ['auto', 2],
    ['batch', 8],
    ['epoch', 2],
    ['never', 0],
    [1, 8],
  ] as const) {
    it(`yieldEvery ${yieldEvery}, of fit for plain objects, of CustomCallback beside ours`, async () => {
      const [ours, alone] = [createModel(), createModel()];
      const epochs: number[] = [];
      /** Counts its pauses, and takes each batch for 50 ms; 'auto' means 125 ms. */
      const counting = (): {args: tfl.CustomCallbackArgs; pauses: () => number} => {
        let [time, pauses] = [0, 0];
        const args = {
          onEpochEnd: (epoch: number) => void epochs.push(epoch),
          nowFunc: () => (time += 50),
          nextFrameFunc: () => {
            pauses++;
            return tf.nextFrame();
          },
        };
        return {args, pauses: () => pauses};
      };
      const [beside, plain] = [counting(), counting()];
      const callbacks = [new tfl.CustomCallback(beside.args, yieldEvery), createSampling()];
      await fit(ours, callbacks, {epochs: 2});
      await fit(alone, [plain.args], {epochs: 2, yieldEvery});
      expect(epochs).to.deep.equal([0, 1, 0, 1]);
      expect([beside.pauses(), plain.pauses()]).to.deep.equal([pauses, pauses]);
    });
  }

  it('objects like those of tfvis.show.fitCallbacks, in a CustomCallback', async () => {
    // The same form and way as @tensorflow/tfjs-vis 1.5: functions that take numbers by their names, and wait for a frame.
    const drawn: Record<string, number[][]> = {};
    const metrics = ['loss', 'acc', 'lr', 'absent'];
    const makeCallback = (name: string) => async (_: number, logs?: tfl.Logs) => {
      (drawn[name] ??= []).push(metrics.flatMap((metric) => logs![metric] ?? []));
      await tf.nextFrame();
    };
    const fitCallbacks = {
      onEpochEnd: makeCallback('onEpochEnd'),
      onBatchEnd: makeCallback('onBatchEnd'),
    };
    const callbacks = [createSampling(), new tfl.CustomCallback(fitCallbacks)];
    await fit(createModel(), callbacks, {epochs: 2});
    expect(drawn.onBatchEnd).to.have.length(8);
    expect(drawn.onEpochEnd).to.have.length(2);
    for (const values of Object.values(drawn).flat()) {
      expect(values).to.have.length(3);
      expect(values.every(Number.isFinite)).to.equal(true);
      expect(values[2]).to.equal(0.05);
    }
  });

  if (backends.includes('tensorflow')) {
    it('tf.node.tensorBoard', async () => {
      await tf.setBackend('tensorflow');
      const folder = await mkdtemp(join(tmpdir(), 'owlore-'));
      try {
        const {tensorBoard} = await tensorflowNode();
        const callbacks = [createSampling(), tensorBoard(folder, {updateFreq: 'batch'})];
        await fit(createModel(), callbacks, {epochs: 2, validationSplit: 0.25});
        const events = await readFile(await onlyFileOf(join(folder, 'train')), 'latin1');
        for (const tag of ['batch_loss', 'batch_lr', 'epoch_loss', 'epoch_lr', 'epoch_acc']) {
          expect(events).to.include(tag);
        }
        expect(await readFile(await onlyFileOf(join(folder, 'val')), 'latin1')).to.include(
          'epoch_',
        );
      } finally {
        await rm(folder, {recursive: true});
        await tf.setBackend(defaultBackend);
      }
    });
  }
});

/** What tfjs-node, of this machine's own build or installed, adds to tfjs. */
async function tensorflowNode(): Promise<{
  tensorBoard(folder: string, args: object): tfl.CustomCallback;
}> {
  const ownBuild = '../.tfjs-node/node_modules/@tensorflow/tfjs-node/dist/callbacks.js';
  return import(ownBuild) as ReturnType<typeof tensorflowNode>;
}

async function onlyFileOf(folder: string): Promise<string> {
  const names = await readdir(folder);
  expect(names).to.have.length(1);
  return join(folder, names[0]!);
}
