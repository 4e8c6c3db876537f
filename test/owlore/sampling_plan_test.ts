import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src/index';
import type {LayerSamplingOptions, OwLoreOptions} from '../../src/index';
import {rejection} from '../support/rejection';
import {expectWarning} from '../support/warnings';
import {WeightWatch} from '../support/weight_watch';

/*
 * Callback and optimizer together: which batches make a step, and whose optimizer it is. A period changes between two steps
 * only, wherever a training stops and goes on; N times `fit` of an epoch is one `fit` of N.
 */

const blocks = ['b0', 'b1', 'b2', 'b3'];
const accumulate = 4;
const batches = 5;

/** Four equal hidden layers, which are the blocks, and a head; all copies start with the same weights. */
function createModel(): tfl.Sequential {
  const kernel = (seed: number): ReturnType<typeof tfl.initializers.glorotNormal> =>
    tfl.initializers.glorotNormal({seed});
  const model = tfl.sequential();
  blocks.forEach((name, i) =>
    model.add(
      tfl.layers.dense({
        name,
        units: 6,
        activation: 'tanh',
        kernelInitializer: kernel(i + 1),
        inputShape: i === 0 ? [6] : undefined,
      }),
    ),
  );
  model.add(tfl.layers.dense({name: 'head', units: 1, kernelInitializer: kernel(9)}));
  return model;
}

function values(model: tfl.LayersModel): Promise<number[][]> {
  return Promise.all(model.getWeights().map(async (weight) => [...(await weight.data())]));
}

/** Which layers have a weight that is on. */
function layersOn(model: tfl.LayersModel): string[] {
  return model.layers
    .filter(({weights}) => weights.some((weight) => (weight.read() as tf.Variable).trainable))
    .map(({name}) => name);
}

/** Runs `body` and gives back the lines it prints by `console.info`. */
async function infoLines(body: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const {info} = console;
  console.info = (line: string) => lines.push(line);
  try {
    await body();
  } finally {
    console.info = info;
  }
  return lines;
}

/** Looks before each batch: whatever waits in the optimizer is of weights that are on. */
class FrozenSums extends tfl.Callback {
  readonly found: string[] = [];

  constructor(private readonly optimizer: OwLoreOptimizer) {
    super();
  }

  override async onBatchBegin(): Promise<void> {
    for (const name of this.optimizer.accumulatedVariables) {
      if (!tf.engine().registeredVariables[name]!.trainable) this.found.push(name);
    }
  }
}

describe('steps of several batches', () => {
  const disposables: Array<{dispose(): void}> = [];
  let data: {x: tf.Tensor2D; y: tf.Tensor2D};
  let tensorsBefore: number;
  beforeEach(() => {
    tensorsBefore = tf.memory().numTensors;
    data = {
      x: tf.randomNormal([batches * 2, 6], 0, 1, 'float32', 1),
      y: tf.randomNormal([batches * 2, 1], 0, 1, 'float32', 2),
    };
  });
  afterEach(() => {
    tf.dispose(data);
    for (const each of disposables.splice(0)) each.dispose();
    expect(tf.memory().numTensors, 'tensors left').to.equal(tensorsBefore);
  });

  function optimizerOf(options: OwLoreOptions = {}): OwLoreOptimizer {
    const optimizer = new OwLoreOptimizer({learningRate: 0.05, accumulate, rank: 1, ...options});
    disposables.push(optimizer);
    return optimizer;
  }

  function compiled(optimizer: tf.Optimizer): tfl.Sequential {
    const model = createModel();
    model.compile({optimizer, loss: 'meanSquaredError'});
    disposables.push(model);
    return model;
  }

  const options: LayerSamplingOptions = {gamma: 2, interval: 2, seed: 5};

  function fit(
    model: tfl.LayersModel,
    epochs: number,
    callbacks: tfl.Callback[],
  ): Promise<unknown> {
    const {x, y} = data;
    return model.fit(x, y, {epochs, batchSize: 2, shuffle: false, verbose: 0, callbacks});
  }

  /** Of a first fit of one epoch, which does not know what comes after it; once for a callback. */
  const tooShort =
    /at most 2 of 4 blocks can be trained in so few steps \(2, with other blocks every 2\)/;

  /** 35 batches are 8 steps and 3 batches of the next. */
  const epochs = 7;

  async function whole(): Promise<{weights: number[][]; callback: LayerSamplingCallback}> {
    const optimizer = optimizerOf();
    const model = compiled(optimizer);
    const callback = new LayerSamplingCallback(options);
    const watch = new FrozenSums(optimizer);
    await infoLines(() => fit(model, epochs, [callback, watch]).then(() => undefined));
    expect(optimizer.iterations).to.equal(8);
    expect(optimizer.accumulated).to.equal(3);
    expect(callback.steps).to.equal(8);
    expect(callback.blockHistory.periods).to.have.length(5);
    expect(watch.found).to.deep.equal([]);
    return {weights: await values(model), callback};
  }

  it('N fits of one epoch are one fit of N epochs', async () => {
    const expected = await whole();
    const optimizer = optimizerOf();
    const model = compiled(optimizer);
    const callback = new LayerSamplingCallback(options);
    expectWarning(tooShort);
    const lines = await infoLines(async () => {
      for (let epoch = 0; epoch < epochs; epoch++) await fit(model, 1, [callback]);
    });
    expect(await values(model)).to.deep.equal(expected.weights);
    expect(callback.blockHistory).to.deep.equal(expected.callback.blockHistory);
    expect(lines.filter((line) => line.includes('goes on'))).to.deep.equal([
      'LayerSamplingCallback: the last step has 1 of its 4 calls: it goes on in the next training, optimizer.flush() ' +
        'makes it of these, optimizer.dispose() drops them',
    ]);
  });

  it('so they are with a callback and an optimizer that go on from saved ones', async () => {
    const expected = await whole();
    let optimizer = optimizerOf();
    const model = compiled(optimizer);
    expectWarning(tooShort);
    await infoLines(async () => {
      for (let epoch = 0; epoch < epochs; epoch++) {
        const next = optimizerOf();
        await next.setWeights(await optimizer.getWeights());
        optimizer.dispose();
        optimizer = next;
        model.compile({optimizer, loss: 'meanSquaredError'});
        const initialStep = optimizer.iterations;
        const callback = new LayerSamplingCallback({...options, initialStep});
        await fit(model, 1, [callback]);
        expect(callback.steps).to.equal(optimizer.iterations);
      }
    });
    expect(await values(model)).to.deep.equal(expected.weights);
  });

  it('a batch that fails is none, also in the middle of a step', async () => {
    const expected = await whole();
    const optimizer = optimizerOf();
    let calls = 0;
    const model = createModel();
    disposables.push(model);
    model.compile({
      optimizer,
      loss: (labels, outputs) => {
        if ([1, 7, 12].includes(++calls)) throw new Error('in the middle');
        return tfl.metrics.meanSquaredError(labels, outputs);
      },
    });
    const callback = new LayerSamplingCallback(options);
    callback.attach(model);
    for (let batch = 0; batch < epochs * batches; batch++) {
      const [x, y] = [data.x, data.y].map((all) => tf.slice(all, (batch % batches) * 2, 2));
      const train = async (): Promise<void> => {
        callback.step();
        await model.trainOnBatch(x!, y!);
      };
      await train().catch(train);
      tf.dispose([x!, y!]);
    }
    callback.restore();
    expect(calls).to.equal(epochs * batches + 3);
    expect(callback.blockHistory).to.deep.equal(expected.callback.blockHistory);
    expect(await values(model)).to.deep.equal(expected.weights);
  });

  it('a fit that fails in the middle of a step is gone on with', async () => {
    const optimizer = optimizerOf();
    const model = compiled(optimizer);
    const callback = new LayerSamplingCallback({...options, interval: 1, gamma: 4});
    const failing = new tfl.CustomCallback({
      onBatchEnd: (batch) => {
        if (batch === 2) throw new Error('in the middle');
      },
    });
    const error = await rejection(fit(model, 1, [callback, failing as unknown as tfl.Callback]));
    expect(error.message).to.equal('in the middle');
    // tfjs leaves them in a fit that fails: the order of the rows, and the loss of the batch.
    tensorsBefore += 2;
    expect(optimizer.accumulated).to.equal(3);
    expect(layersOn(model)).to.deep.equal([...blocks, 'head']);
    await infoLines(() => fit(model, 1, [callback]).then(() => undefined));
    expect(optimizer.iterations).to.equal(2);
    expect(callback.blockHistory.periods).to.have.length(2);
  });

  it("a step that is skipped, 'nonFinite', is a step", async () => {
    const optimizer = optimizerOf({nonFinite: 'skip'});
    let calls = 0;
    const model = createModel();
    disposables.push(model);
    model.compile({
      optimizer,
      loss: (labels, outputs) =>
        tf.mul(tfl.metrics.meanSquaredError(labels, outputs), ++calls === 6 ? NaN : 1),
    });
    const callback = new LayerSamplingCallback(options);
    await infoLines(() => fit(model, epochs, [callback]).then(() => undefined));
    expect(optimizer.skippedSteps).to.equal(1);
    expect(callback.steps).to.equal(8);
    expect(callback.blockHistory.periods).to.have.length(5);
  });

  it('a callback of other blocks begins with a step of its own', async () => {
    const optimizer = optimizerOf({state: 'keep'});
    const model = compiled(optimizer);
    await infoLines(async () => {
      await fit(model, 1, [new LayerSamplingCallback({probabilities: [1, 0, 0, 0], interval: 1})]);
    });
    expect([optimizer.iterations, optimizer.accumulated]).to.deep.equal([1, 1]);
    const watch = await WeightWatch.of(model);
    const sums = new FrozenSums(optimizer);
    const moved: string[][] = [];
    const look = new tfl.CustomCallback({
      onBatchEnd: async () => void moved.push((await watch.moved()).map((n) => n.split('/')[0]!)),
    });
    const second = new LayerSamplingCallback({probabilities: [0, 0, 1, 0], interval: 1});
    await infoLines(() =>
      fit(model, 1, [second, sums, look as unknown as tfl.Callback]).then(() => undefined),
    );
    // The open step of b0 before the first batch, then four batches of a step, and one of the next.
    expect(moved).to.deep.equal([
      ['b0', 'b0', 'head', 'head'],
      [],
      [],
      ['b2', 'b2', 'head', 'head'],
      [],
    ]);
    expect(sums.found).to.deep.equal([]);
    expect([optimizer.iterations, optimizer.accumulated]).to.deep.equal([3, 1]);
    expect(second.steps).to.equal(1);
  });

  it('flush() makes a step of the calls that wait, and the callback counts it', async () => {
    const [optimizer, accumulatesTwo] = [2, 1].map((by) =>
      optimizerOf({project: false, accumulate: 2 * by}),
    ) as [OwLoreOptimizer, OwLoreOptimizer];
    const [model, reference] = [compiled(optimizer), compiled(accumulatesTwo)];
    const callback = new LayerSamplingCallback({...options, interval: 1, gamma: 4});
    for (const each of [model, reference]) {
      await each.trainOnBatch(data.x, data.y);
      await each.trainOnBatch(data.x, data.y);
    }
    expect(optimizer.accumulated).to.equal(2);
    optimizer.flush();
    expect([optimizer.accumulated, optimizer.iterations]).to.deep.equal([0, 1]);
    expect(optimizer.accumulatedVariables.size).to.equal(0);
    expect(await values(model)).to.deep.equal(await values(reference));
    optimizer.flush();
    expect(optimizer.iterations).to.equal(1);

    await infoLines(() => fit(model, 1, [callback]).then(() => undefined));
    expect([callback.steps, optimizer.accumulated]).to.deep.equal([1, 1]);
    optimizer.flush();
    expect(callback.steps).to.equal(2);
    await infoLines(() => fit(model, 1, [callback]).then(() => undefined));
    expect(callback.blockHistory.periods).to.have.length(4);
    optimizer.dispose();
    expect(optimizer.accumulated, 'dropped').to.equal(0);
  });

  it('an optimizer of two models: each goes by its own steps and its own projection', async () => {
    const optimizer = optimizerOf({state: 'keep', accumulate: 3, refreshInterval: 1});
    const models = [compiled(optimizer), compiled(optimizer)];
    const callbacks = models.map(() => new LayerSamplingCallback({gamma: 1, interval: 1}));
    const refreshed: Array<Set<string>> = [new Set(), new Set()];
    callbacks.forEach((callback, i) =>
      callback.events.on('refresh', ({variable}) => refreshed[i]!.add(variable)),
    );
    callbacks.forEach((callback, i) => callback.attach(models[i]!));
    const changes: number[] = [];
    await infoLines(async () => {
      for (let call = 0; call < 24; call++) {
        const which = call % 2;
        const callback = callbacks[which]!;
        const before = callback.blockHistory.periods.length;
        const own = new Set(models[which]!.weights.map(({name}) => name));
        const waits = [...optimizer.accumulatedVariables].some((name) => own.has(name));
        callback.step();
        if (callback.blockHistory.periods.length > before) {
          changes.push(call);
          expect(waits, `call ${call}`).to.equal(false);
        }
        await models[which]!.trainOnBatch(data.x, data.y);
      }
    });
    callbacks.forEach((callback) => callback.restore());
    // Three calls a step, taken in turns: each model has a part in all eight steps.
    expect(optimizer.iterations).to.equal(8);
    for (const callback of callbacks) expect(callback.steps).to.equal(8);
    expect(changes).to.have.length(16);
    refreshed.forEach((names, i) => {
      const own = models[i]!.weights.map(({name}) => name);
      expect(names).not.to.have.property('size', 0);
      expect(own).to.include.members([...names]);
    });
  });
});

describe("what 'auto' projects", () => {
  const inBlocks: LayerSamplingOptions = {blocks: /^b/, gamma: 1, interval: 1, seed: 5};
  let data: [tf.Tensor2D, tf.Tensor2D];
  let tensorsBefore: number;
  beforeEach(() => {
    tensorsBefore = tf.memory().numTensors;
    data = [1, 2].map((seed) => tf.randomNormal([4, 6], 0, 1, 'float32', seed)) as typeof data;
  });
  afterEach(() => {
    tf.dispose(data);
    expect(tf.memory().numTensors, 'tensors left').to.equal(tensorsBefore);
  });

  /** The blocks, and a layer of their size that is in none. */
  function compiled(optimizer: tf.Optimizer): tfl.Sequential {
    const model = tfl.sequential({
      layers: [...blocks, 'last'].map((name, i) =>
        tfl.layers.dense({
          ...{name, units: 6, inputShape: [6]},
          kernelInitializer: tfl.initializers.glorotNormal({seed: i + 1}),
        }),
      ),
    });
    model.compile({optimizer, loss: 'meanSquaredError'});
    return model;
  }

  const fit = (model: tfl.LayersModel, callbacks: tfl.Callback[] = []): Promise<unknown> =>
    model.fit(...data, {epochs: 8, shuffle: false, verbose: 0, callbacks});

  it('stays projected if the blocks become known later, in the same program or after a restart', async () => {
    const results: number[][][] = [];
    for (const project of ['auto', /kernel/] as const) {
      const options: OwLoreOptions = {learningRate: 0.05, rank: 2, state: 'keep', project};
      const optimizer = new OwLoreOptimizer(options);
      const model = compiled(optimizer);
      await infoLines(async () => {
        await fit(model);
        await fit(model, [new LayerSamplingCallback(inBlocks)]);
      });
      const state = await optimizer.getWeights();
      const resumed = new OwLoreOptimizer(options);
      await resumed.setWeights(state);
      tf.dispose(state.map(({tensor}) => tensor));
      model.compile({optimizer: resumed, loss: 'meanSquaredError'});
      await infoLines(async () => {
        await fit(model, [new LayerSamplingCallback(inBlocks)]);
      });
      results.push(await values(model));
      for (const each of [optimizer, resumed, model]) each.dispose();
    }
    expect(results[0]).to.deep.equal(results[1]);
  });

  it('does not depend on the blocks of a model that is gone', async () => {
    const bytes: number[] = [];
    for (const hasOther of [false, true]) {
      const optimizer = new OwLoreOptimizer({rank: 2});
      if (hasOther) {
        const other = compiled(optimizer);
        await infoLines(async () => {
          await fit(other, [new LayerSamplingCallback(inBlocks)]);
        });
        other.dispose();
      }
      const model = compiled(optimizer);
      await infoLines(async () => {
        await fit(model);
      });
      bytes.push(optimizer.stateBytes);
      for (const each of [optimizer, model]) each.dispose();
    }
    expect(bytes[1]).to.equal(bytes[0]);
  });
});

describe('a loop of one’s own', () => {
  const data = (): [tf.Tensor2D, tf.Tensor2D] => [tf.ones([2, 6]), tf.ones([2, 1])];

  /** `count` steps of a loop around `minimize`. */
  function loop(
    model: tfl.LayersModel,
    callback: LayerSamplingCallback,
    optimizer: tf.Optimizer,
    count: number,
    afterStep: () => void = () => undefined,
  ): void {
    const [x, y] = data();
    try {
      for (let i = 0; i < count; i++) {
        callback.step();
        optimizer.minimize(() =>
          tf.tidy(() =>
            tf.mean(tf.squaredDifference(y, model.apply(x, {training: true}) as tf.Tensor)),
          ),
        );
        afterStep();
      }
    } finally {
      tf.dispose([x, y]);
    }
  }

  it('needs no compile: attach(model, optimizer)', async () => {
    const before = tf.memory().numTensors;
    const model = createModel();
    const optimizer = new OwLoreOptimizer({accumulate: 2, rank: 1});
    const callback = new LayerSamplingCallback({gamma: 1, interval: 3, sampler: 'permutation'});
    callback.attach(model, optimizer);
    expect(layersOn(model), 'nothing is frozen before the first step').to.deep.equal([
      ...blocks,
      'head',
    ]);
    await infoLines(async () =>
      loop(model, callback, optimizer, 2 * 3 * 4, () =>
        expect(layersOn(model)).to.deep.equal([...callback.activeBlocks, 'head']),
      ),
    );
    expect(callback.blockHistory.periods.flat().sort()).to.deep.equal(blocks);
    expect(optimizer.iterations).to.equal(12);
    callback.restore();
    expect(layersOn(model)).to.deep.equal([...blocks, 'head']);
    optimizer.dispose();
    model.dispose();
    expect(tf.memory().numTensors).to.equal(before);
  });

  it('refuses what is no model or no optimizer', () => {
    const model = createModel();
    const callback = new LayerSamplingCallback({gamma: 1});
    expect(() => callback.attach(model)).to.throw(
      /the model has no optimizer; .* attach\(model, op/,
    );
    expect(() => callback.attach({} as tfl.LayersModel)).to.throw(
      /must have a tf.LayersModel; got \[object Object\]/,
    );
    expect(() => callback.attach(model, {} as tf.Optimizer)).to.throw(/from another copy of/);
    model.dispose();
  });

  it('ends with fit, which uses the optimizer of compile', async () => {
    const model = createModel();
    const [own, compiledWith] = [tf.train.sgd(0.1), new OwLoreOptimizer({rank: 1})];
    model.compile({optimizer: compiledWith, loss: 'meanSquaredError'});
    const callback = new LayerSamplingCallback({gamma: 2, interval: 1});
    callback.attach(model, own);
    loop(model, callback, own, 2);
    expect(callback.steps).to.equal(2);
    callback.restore();
    const [x, y] = data();
    await infoLines(() =>
      model
        .fit(x, y, {batchSize: 1, epochs: 2, verbose: 0, callbacks: [callback]})
        .then(() => undefined),
    );
    expect(callback.steps).to.equal(6);
    tf.dispose([x, y]);
    compiledWith.dispose();
    own.dispose();
    model.dispose();
  });

  for (const compiledIsOurs of [true, false]) {
    const [compiledClass, usedClass] = compiledIsOurs ? ['ours', 'Adam'] : ['Adam', 'ours'];
    it(`notices that it uses another optimizer than the compiled one: ${usedClass} in the place of ${compiledClass}`, async () => {
      const model = createModel();
      const [ours, adam] = [new OwLoreOptimizer({rank: 1}), tf.train.adam()];
      const [compiledWith, used] = compiledIsOurs ? [ours, adam] : [adam, ours];
      model.compile({optimizer: compiledWith, loss: 'meanSquaredError'});
      const callback = new LayerSamplingCallback({gamma: 1, interval: 2});
      callback.attach(model);
      const train = async (count: number): Promise<void> => loop(model, callback, used, count);
      const message =
        /the optimizer \((Adam|OwLoreOptimizer)\) has not been called for 10 batches; .* attach\(model, optimizer\)/;
      await infoLines(async () => {
        await train(10);
        if (compiledIsOurs) {
          expect((await rejection(train(1))).message).to.match(message);
          expect(layersOn(model)).to.deep.equal([...blocks, 'head']);
        } else {
          expectWarning(message);
          await train(20);
        }
        // It is to begin anew, with the projection that the callback's plan asks for.
        ours.dispose();
        callback.attach(model, used);
        await train(12);
      });
      callback.restore();
      ours.dispose();
      if (compiledIsOurs) adam.dispose();
      model.dispose();
    });
  }

  it('lets an optimizer be that does not count its steps', () => {
    class Silent extends tf.Optimizer {
      static readonly className = 'Silent';
      override applyGradients(): void {
        /* moves nothing */
      }
      override getConfig(): tf.serialization.ConfigDict {
        return {};
      }
    }
    const model = createModel();
    const optimizer = new Silent();
    const callback = new LayerSamplingCallback({gamma: 1, interval: 5});
    callback.attach(model, optimizer);
    loop(model, callback, optimizer, 25);
    expect(callback.blockHistory.periods).to.have.length(5);
    callback.restore();
    model.dispose();
  });

  it('tells the optimizer of a model that is compiled again', async () => {
    const model = createModel();
    const optimizers = [new OwLoreOptimizer({rank: 1}), new OwLoreOptimizer({rank: 1})];
    const callback = new LayerSamplingCallback({gamma: 4, interval: 1});
    const refreshed = new Set<number>();
    callback.events.on('refresh', ({step}) => refreshed.add(step));
    const [x, y] = data();
    await infoLines(async () => {
      for (const optimizer of optimizers) {
        model.compile({optimizer, loss: 'meanSquaredError'});
        if (optimizer === optimizers[0]) callback.attach(model);
        refreshed.clear();
        callback.step();
        await model.trainOnBatch(x, y);
        expect([...refreshed]).to.deep.equal([1]);
      }
    });
    expect(callback.steps).to.equal(2);
    callback.restore();
    tf.dispose([x, y]);
    for (const optimizer of optimizers) optimizer.dispose();
    model.dispose();
  });
});
