import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfd from '@tensorflow/tfjs-data';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer} from '../src/index';
import {describeBackends} from './support/backends';
import {kindOf, modelZoo} from './support/model_zoo';
import type {Kind, Specimen} from './support/model_zoo';
import {trainability, WeightWatch} from './support/weight_watch';

/*
 * Every kind of model, through every way to train: after each step exactly the weights of the active blocks have moved,
 * and those of no block; the frozen ones, and those that the user froze, are what they were to the last bit.
 */

const batchSize = 4;

/** Trains for `steps` batches and calls `afterStep` after each. */
type Train = (
  specimen: Specimen,
  sampling: LayerSamplingCallback,
  steps: number,
  afterStep: () => Promise<void>,
) => Promise<void>;

const ways: Record<string, Train> = {
  async fit({model, createData}, sampling, steps, afterStep) {
    const {x, y} = createData(steps * batchSize);
    const callbacks = [sampling, new AfterStep(afterStep)];
    await model.fit(x, y, {batchSize, shuffle: false, verbose: 0, callbacks});
    tf.dispose([x, y]);
  },
  async fitDataset({model, createData}, sampling, steps, afterStep) {
    const dataset = tfd.generator(function* () {
      for (let step = 0; step < steps; step++) {
        const {x: xs, y: ys} = createData(batchSize);
        yield {xs, ys};
      }
    });
    const callbacks = [sampling, new AfterStep(afterStep)];
    await model.fitDataset(dataset, {epochs: 1, verbose: 0, callbacks});
  },
  async trainOnBatch({model, createData}, sampling, steps, afterStep) {
    const {x, y} = createData(batchSize);
    sampling.setModel(model);
    for (let step = 0; step < steps; step++) {
      sampling.step();
      await model.trainOnBatch(x, y);
      await afterStep();
    }
    sampling.restore();
    tf.dispose([x, y]);
  },
};

class AfterStep extends tfl.Callback {
  constructor(private readonly afterStep: () => Promise<void>) {
    super();
  }

  override async onBatchEnd(): Promise<void> {
    await this.afterStep();
  }
}

const createOwLore = (): OwLoreOptimizer =>
  new OwLoreOptimizer({learningRate: 0.01, rank: 2, weightDecay: 0.1, refreshInterval: 2});

describeBackends('works with', function (this: Mocha.Suite, backend) {
  // A GPU in software takes up to five seconds for a step: one way to train has to do there.
  const isSlow = backend === 'webgpu' || backend === 'webgl';
  if (isSlow) this.timeout(120_000);
  for (const kind of modelZoo) {
    describe(kind.title, () => {
      it('fit', () => runCase(kind, ways.fit!, createOwLore()));
      if (isSlow) return;
      it('fit with Adam', () => runCase(kind, ways.fit!, tf.train.adam(0.01)));
      it('fitDataset', () => runCase(kind, ways.fitDataset!, createOwLore(), 2));
      it('trainOnBatch', () => runCase(kind, ways.trainOnBatch!, createOwLore()));
    });
  }
});

describe('a training that fails in the middle leaves every weight as trainable as it was', () => {
  const places = [
    ['fit', 'the loss'],
    ['fitDataset', 'the loss'],
    ['fit', 'a callback'],
    ['fitDataset', 'the data'],
  ] as const;
  for (const title of ['Sequential', 'models nested two deep', 'LSTM']) {
    for (const [way, place] of places) {
      it(`${title}, ${way}, ${place}`, () => runFailing(title, way, place, createOwLore()));
      it(`${title}, ${way} with Adam, ${place}`, () =>
        runFailing(title, way, place, tf.train.adam(0.01)));
    }
  }
});

/** Trains each block for a period of `interval` steps. */
async function runCase(
  {build}: Kind,
  train: Train,
  optimizer: tf.Optimizer,
  interval = 1,
): Promise<void> {
  const specimen = build();
  const {model, blocks, selector, frozen, loss} = specimen;
  frozen.trainable = false;
  model.compile({optimizer, loss});
  const flags = trainability(model);
  const order = model.weights.map(({name}) => name);
  const expected = movers(specimen);
  const watch = await WeightWatch.of(model);
  const sampling = new LayerSamplingCallback({
    blocks: selector,
    gamma: 1,
    interval,
    sampler: 'permutation',
  });

  const trainable = Object.keys(blocks).filter((name) =>
    blocks[name]!.some(({weights}) =>
      weights.some((weight) => model.trainableWeights.includes(weight)),
    ),
  );
  const steps = interval * trainable.length;
  let step = 0;
  await train(specimen, sampling, steps, async () => {
    step++;
    const active = sampling.activeBlocks;
    expect(model.weights.map(({name}) => name)).to.deep.equal(order);
    expect(await watch.moved(), `step ${step}, ${active.join()}`).to.deep.equal(expected(active));
  });

  expect(step).to.equal(steps);
  expect(sampling.blockHistory.blocks).to.deep.equal(Object.keys(blocks));
  expect(sampling.blockHistory.periods.flat()).to.have.members(trainable);
  expect(trainability(model)).to.deep.equal(flags);
  expect(await watch.moved()).to.deep.equal([]);
  optimizer.dispose();
  model.dispose();
}

/** Trains until `place` throws, the third time. */
async function runFailing(
  title: string,
  way: keyof typeof ways,
  place: 'the loss' | 'a callback' | 'the data',
  optimizer: tf.Optimizer,
): Promise<void> {
  const specimen = kindOf(title).build();
  const {model, frozen} = specimen;
  let visits = 0;
  const visit = (visited: typeof place): void => {
    if (visited === place && ++visits === 3) throw new Error('in the middle');
  };
  frozen.trainable = false;
  model.compile({
    optimizer,
    loss: (labels, outputs) => {
      visit('the loss');
      return tf.losses.meanSquaredError(labels, outputs);
    },
  });
  const flags = trainability(model);
  const createData = (rows: number): ReturnType<Specimen['createData']> => {
    visit('the data');
    return specimen.createData(rows);
  };
  const sampling = new LayerSamplingCallback({gamma: 1, interval: 1, sampler: 'permutation'});
  const training = ways[way]!({...specimen, createData}, sampling, 6, async () =>
    visit('a callback'),
  );
  expect(await errorOf(training)).to.match(/in the middle$/);
  expect(sampling.blockHistory.periods).to.have.lengthOf.at.least(2);
  expect(trainability(model)).to.deep.equal(flags);
  optimizer.dispose();
  model.dispose();
}

async function errorOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error as Error).message,
  );
}

/** What a step must move, by the active blocks: names of weights, sorted. */
function movers({model, blocks}: Specimen): (active: readonly string[]) => string[] {
  const trainable = model.trainableWeights.map(({name}) => name);
  const blockOf = new Map(
    Object.entries(blocks).flatMap(([block, layers]) =>
      layers.flatMap(({weights}) => weights.map(({name}) => [name, block] as const)),
    ),
  );
  // Batch normalization's statistics are no trainable weights: every forward pass in training moves them, frozen or not.
  const statistics = model.weights
    .filter(({originalName}) => /moving_(mean|variance)$/.test(originalName))
    .map(({name}) => name);
  return (active) => {
    const trained = trainable.filter((name) => {
      const block = blockOf.get(name);
      return block === undefined || active.includes(block);
    });
    return [...trained, ...statistics].sort();
  };
}
