import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer} from '../src/index';
import type {OwLoreOptions} from '../src/index';
import {describeBackends} from './support/backends';
import type {BackendName} from './support/backends';
import {minus, nothing, occupied, since, StateLedger} from './support/state_ledger';
import type {Occupied} from './support/state_ledger';

/*
 * Nothing leaks: after every batch the backend holds what it held before the training and the state of the variables that
 * are trained, by the formula in the docs, to the last tensor and byte; after `dispose()` what it held before.
 */

const batchSize = 2;
const epochs = 2;
const rank = 2;
const refreshInterval = 4;

/** Every way to carry moments and state on; each other option in some of them. */
const variants: Record<string, OwLoreOptions> = {
  "moments 'keep'": {moments: 'keep'},
  "moments 'rotate', clipped, 2 batches a step": {moments: 'rotate', clipNorm: 0.1, accumulate: 2},
  "moments 'reset', left, decayed": {moments: 'reset', side: 'left', weightDecay: 0.1},
  "moments 'keep', state kept, 2 batches a step": {moments: 'keep', state: 'keep', accumulate: 2},
  "moments 'rotate', state kept, right": {moments: 'rotate', state: 'keep', side: 'right'},
  "moments 'reset', state kept, clipped, side 'auto'": {
    moments: 'reset',
    state: 'keep',
    clipNorm: 0.1,
    side: 'auto',
  },
  'nothing projected': {project: false},
};

/** Optimizer steps of a test, few where one takes half a second; `npx tsx scripts/soak.ts` makes many thousand. */
const stepsOn: Record<BackendName, number> = {
  ...{cpu: 60, wasm: 60, tensorflow: 200},
  ...{webgpu: 12, webgl: 12},
};

describeBackends('memory', function (this: Mocha.Suite, backend) {
  this.timeout(120_000);
  const steps = stepsOn[backend];
  const all = Object.entries(variants);
  for (const [title, options] of backend === 'webgpu' ? all.slice(0, 2) : all) {
    it(`is flat over ${steps} steps: ${title}`, () => runLoop(options, steps));
  }
  it(`is flat over ${steps} batches of fit, 2 a step`, () => runFit({accumulate: 2}, steps));

  it('is free after dispose() in the middle of a step', async () => {
    const {model, x, y} = createTask(batchSize);
    const start = occupied();
    const optimizer = new OwLoreOptimizer({accumulate: 3});
    model.compile({optimizer, loss: 'meanSquaredError'});
    await model.trainOnBatch(x, y);
    expect(optimizer.stateBytes).to.be.greaterThan(0);
    optimizer.dispose();
    expect(since(start)).to.deep.equal(nothing);
    model.dispose();
    tf.dispose([x, y]);
  });

  for (const nonFinite of ['skip', 'throw'] as const) {
    it(`is not taken by a step that is not finite: '${nonFinite}'`, async () => {
      const weight = tf.tidy(() => tf.variable(tf.ones([4, 3])));
      const start = occupied();
      const optimizer = new OwLoreOptimizer({nonFinite, rank: 1, accumulate: 1});
      optimizer.minimize(() => tf.sum(weight));
      await optimizer.settled();
      const afterFirst = since(start);
      try {
        optimizer.minimize(() => tf.sum(tf.mul(weight, NaN)));
        await optimizer.settled();
      } catch (error) {
        expect((error as Error).message).to.match(/is NaN/);
      }
      expect(since(start)).to.deep.equal(afterFirst);
      optimizer.dispose();
      expect(since(start)).to.deep.equal(nothing);
      weight.dispose();
    });
  }

  it('is free after state was saved and taken over', async () => {
    const weight = tf.tidy(() => tf.variable(tf.ones([4, 3])));
    const start = occupied();
    const optimizers = [new OwLoreOptimizer({rank: 1}), new OwLoreOptimizer({rank: 1})] as const;
    for (let i = 0; i < 2; i++) {
      optimizers[0].minimize(() => tf.sum(weight));
      await optimizers[1].setWeights(await optimizers[0].getWeights());
      optimizers[1].minimize(() => tf.sum(weight));
    }
    for (const optimizer of optimizers) {
      await optimizer.settled();
      optimizer.dispose();
    }
    expect(since(start)).to.deep.equal(nothing);
    weight.dispose();
  });
});

/** Trains in a loop of one's own. */
async function runLoop(options: OwLoreOptions, steps: number): Promise<void> {
  const empty = occupied();
  const {model, x, y, ledger} = createTask(batchSize, options);
  const optimizer = createOptimizer(options);
  model.compile({optimizer, loss: 'meanSquaredError'});
  const start = occupied();
  const sampling = createSampling();
  sampling.setModel(model);
  const sizes = new Set<number>();
  for (let call = 1; call <= steps * optimizer.accumulate; call++) {
    sampling.step();
    await model.trainOnBatch(x, y);
    await optimizer.settled();
    ledger.addCall(sampling.activeBlocks);
    expect(since(start), `after call ${call}`).to.deep.equal(ledger.total);
    expect(optimizer.stateBytes, `stateBytes after call ${call}`).to.equal(ledger.total.bytes);
    sizes.add(optimizer.stateBytes);
  }
  expect(sizes.size, 'different sizes of the state').to.be.greaterThan(2);
  sampling.restore();
  optimizer.dispose();
  expect(since(start), 'after optimizer.dispose()').to.deep.equal(nothing);
  expect(optimizer.stateBytes).to.equal(0);
  model.dispose();
  tf.dispose([x, y]);
  expect(since(empty), 'after model.dispose()').to.deep.equal(nothing);
}

/** Trains by fit, which holds tensors of its own: those of a fit with stock gradient descent. */
async function runFit(options: OwLoreOptions, batches: number): Promise<void> {
  const {model, x, y, ledger} = createTask((batches / epochs) * batchSize, options);
  const fit = async (callbacks: tfl.Callback[]): Promise<number[]> => {
    const {history} = await model.fit(x, y, {batchSize, epochs, verbose: 0, callbacks});
    return history.loss as number[];
  };

  const stock = tf.train.sgd(0.01);
  model.compile({optimizer: stock, loss: 'meanSquaredError'});
  const start = occupied();
  const stockMeter = new Meter(() => since(start));
  await fit([stockMeter]);
  expect(since(start), 'after a stock fit').to.deep.equal(nothing);

  const optimizer = createOptimizer(options);
  model.compile({optimizer, loss: 'meanSquaredError'});
  const sampling = createSampling();
  const meter = new Meter(async () => {
    await optimizer.settled();
    ledger.addCall(sampling.activeBlocks);
    expect(optimizer.stateBytes).to.equal(ledger.total.bytes);
    return minus(since(start), ledger.total);
  });
  const losses = await fit([sampling, meter]);
  expect(meter.readings).to.have.length(batches);
  expect(meter.readings).to.deep.equal(stockMeter.readings);
  expect(losses).to.have.length(epochs);
  expect(since(start), 'after fit').to.deep.equal(ledger.total);
  optimizer.dispose();
  expect(since(start), 'after optimizer.dispose()').to.deep.equal(nothing);
  model.dispose();
  tf.dispose([x, y]);
}

/** Reads the memory after every batch. */
class Meter extends tfl.Callback {
  readonly readings: Occupied[] = [];

  constructor(private readonly read: () => Occupied | Promise<Occupied>) {
    super();
  }

  override async onBatchEnd(): Promise<void> {
    this.readings.push(await this.read());
  }
}

const createOptimizer = (options: OwLoreOptions): OwLoreOptimizer =>
  new OwLoreOptimizer({refreshInterval, rank, ...options});

/** Any number of blocks, none to all, for two steps at a time. */
const createSampling = (): LayerSamplingCallback =>
  new LayerSamplingCallback({
    blocks: /^(block\d)\./,
    gamma: 1,
    interval: 2,
    sampler: 'bernoulli',
  });

/** A model of three blocks of different sizes between two layers that are always on, and data for it. */
function createTask(rows: number, options: OwLoreOptions = {}) {
  const {
    project = 'auto',
    side = 'paper',
    state = 'reset',
    accumulate = 1,
    clipNorm = null,
  } = options;
  const {conv2d, dense, flatten} = tfl.layers;
  const model = tfl.sequential({
    layers: [
      conv2d({name: 'stem', inputShape: [4, 4, 1], kernelSize: 1, filters: 2}),
      conv2d({name: 'block0.conv', kernelSize: 2, filters: 3, activation: 'tanh'}),
      flatten(),
      dense({name: 'block1.fc1', units: 5, activation: 'tanh'}),
      dense({name: 'block1.fc2', units: 8, activation: 'tanh'}),
      dense({name: 'block2.fc', units: 6, activation: 'tanh'}),
      dense({name: 'head', units: 3}),
    ],
  });
  const blocks = new Map<tfl.LayerVariable, string>();
  for (const {name, weights} of model.layers) {
    const block = /^block\d/.exec(name)?.[0];
    if (block) for (const weight of weights) blocks.set(weight, block);
  }
  const ledger = new StateLedger(model.weights, blocks, {
    project,
    rank,
    side,
    state,
    accumulate,
    refreshInterval,
    clipNorm,
  });
  return {model, ledger, x: tf.randomNormal([rows, 4, 4, 1]), y: tf.randomNormal([rows, 3])};
}
