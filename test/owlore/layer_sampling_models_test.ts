import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer} from '../../src/index';
import type {LayerSamplingOptions, BlockHistory} from '../../src/index';
import {captureInfo, expectWarning} from '../support/warnings';
import {rejection} from '../support/rejection';
import {trainability, WeightWatch} from '../support/weight_watch';

/*
 * The callback in the programs that people write: weights read and set while it is at work, small models, models of which
 * parts are frozen, GANs, and several models in turn.
 */

const {dense} = tfl.layers;

/** Hidden layers `b0`, `b1`, … of sizes that differ, which are the blocks, and a head. */
function createModel(blocks = 4, optimizer: tf.Optimizer = tf.train.sgd(0.1)): tfl.Sequential {
  const model = tfl.sequential();
  for (let i = 0; i < blocks; i++) {
    const inputShape = i === 0 ? [3] : undefined;
    model.add(dense({name: `b${i}`, units: 3 + i, activation: 'tanh', inputShape}));
  }
  model.add(dense({name: 'head', units: 1}));
  model.compile({optimizer, loss: 'meanSquaredError'});
  return model;
}

function data(rows: number): {x: tf.Tensor; y: tf.Tensor} {
  return {x: tf.randomNormal([rows, 3], 0, 1, 'float32', 1), y: tf.ones([rows, 1])};
}

/** Trains for `steps` batches of one row; calls `afterStep` behind the callback, after each. */
async function fit(
  model: tfl.LayersModel,
  sampling: LayerSamplingCallback,
  steps: number,
  afterStep: (step: number) => void | Promise<void> = () => undefined,
): Promise<void> {
  class AfterStep extends tfl.Callback {
    override async onBatchEnd(batch: number): Promise<void> {
      await afterStep(batch + 1);
    }
  }
  const {x, y} = data(steps);
  try {
    const callbacks = [sampling, new AfterStep()];
    await model.fit(x, y, {batchSize: 1, shuffle: false, verbose: 0, callbacks});
  } finally {
    tf.dispose([x, y]);
  }
}

/** What `model` makes of fixed inputs. */
async function predictions(model: tfl.LayersModel): Promise<number[]> {
  const result = tf.tidy(() => model.predict(data(5).x) as tf.Tensor);
  const values = [...(await result.data())];
  result.dispose();
  return values;
}

/** Names of the weights of the layers called `names`, sorted. */
function weightsOf(model: tfl.LayersModel, names: readonly string[]): string[] {
  return names.flatMap((name) => model.getLayer(name).weights.map((weight) => weight.name)).sort();
}

function variableOf(weight: tfl.LayerVariable): tf.Variable {
  return weight.read() as tf.Variable;
}

describe('LayerSamplingCallback, weights keep their places', () => {
  const optimizers: Record<string, () => tf.Optimizer> = {
    adam: () => tf.train.adam(0.05),
    sgd: () => tf.train.sgd(0.1),
    OwLoreOptimizer: () => new OwLoreOptimizer({learningRate: 0.05, rank: 2}),
  };
  for (const [title, createOptimizer] of Object.entries(optimizers)) {
    it(`a snapshot of the middle is the model of the middle: ${title}`, async () => {
      const optimizer = createOptimizer();
      const model = createModel(4, optimizer);
      const sampling = new LayerSamplingCallback({gamma: 1, interval: 1, seed: 3});
      const order = model.weights.map(({name}) => name);
      const watch = await WeightWatch.of(model);
      const snapshots: Array<{weights: tf.Tensor[]; predicted: number[]}> = [];
      await fit(model, sampling, 6, async () => {
        expect(model.weights.map(({name}) => name)).to.deep.equal(order);
        expect(await watch.moved()).to.deep.equal(
          weightsOf(model, [...sampling.activeBlocks, 'head']),
        );
        const weights = model.getWeights().map((weight) => tf.clone(weight));
        snapshots.push({weights, predicted: await predictions(model)});
      });
      expect(snapshots).to.have.length(6);
      for (const {weights, predicted} of snapshots) {
        model.setWeights(weights);
        expect(await predictions(model)).to.deep.equal(predicted);
        tf.dispose(weights);
      }
      model.dispose();
      optimizer.dispose();
    });
  }

  it('a target network takes over the weights of one that is being trained', async () => {
    const [online, target] = [createModel(), createModel()];
    await fit(online, new LayerSamplingCallback({gamma: 1, interval: 1}), 4, async () => {
      target.setWeights(online.getWeights());
      expect(await predictions(target)).to.deep.equal(await predictions(online));
    });
    online.dispose();
    target.dispose();
  });

  it('a model that is saved in the middle is the same when it is loaded', async () => {
    const model = createModel();
    await fit(model, new LayerSamplingCallback({gamma: 2, interval: 1}), 3, async () => {
      let saved: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(async (artifacts) => {
          saved = artifacts;
          return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
        }),
      );
      const loaded = await tfl.loadLayersModel(tf.io.fromMemory(saved!));
      expect(await predictions(loaded)).to.deep.equal(await predictions(model));
      expect(loaded.layers.every(({trainable}) => trainable)).to.equal(true);
      loaded.dispose();
    });
    model.dispose();
  });
});

describe('LayerSamplingCallback, what the user freezes', () => {
  it('a variable that is not trainable itself stays as it is', async () => {
    const model = createModel();
    variableOf(model.getLayer('b1').weights[0]!).trainable = false;
    const flags = trainability(model);
    const sampling = new LayerSamplingCallback({gamma: 4, interval: 1});
    const watch = await WeightWatch.of(model);
    await fit(model, sampling, 4);
    const frozen = model.getLayer('b1').weights[0]!.name;
    expect(await watch.moved()).to.deep.equal(
      weightsOf(model, ['b0', 'b1', 'b2', 'b3', 'head']).filter((name) => name !== frozen),
    );
    expect(trainability(model)).to.deep.equal(flags);
    model.dispose();
  });

  it('layer.trainable in the middle of a training counts from the next batch on', async () => {
    const model = createModel();
    const sampling = new LayerSamplingCallback({interval: 2, gamma: 3, seed: 1});
    const watch = await WeightWatch.of(model);
    const frozen: string[] = [];
    const drawn: string[] = [];
    const {lines} = await captureInfo(() =>
      fit(model, sampling, 12, async (step) => {
        const on = sampling.activeBlocks.filter((name) => !frozen.includes(name));
        expect(await watch.moved(), `step ${step}`).to.deep.equal(
          weightsOf(model, [...on, ...(frozen.includes('head') ? [] : ['head'])]),
        );
        if (step > 4) drawn.push(...sampling.activeBlocks);
        // In the middle of a period, of which the block is.
        if (step === 3) {
          for (const name of [sampling.activeBlocks[0]!, 'head']) {
            frozen.push(name);
            model.getLayer(name).trainable = false;
          }
        }
      }),
    );
    const [block] = frozen as [string];
    expect(drawn).not.to.include(block);
    expect(lines).to.deep.equal([
      `LayerSamplingCallback: blocks without a trainable weight are not drawn: ${block} (1 of 4)`,
    ]);
    // As the user has made it since.
    for (const layer of model.layers) {
      const isFrozen = frozen.includes(layer.name);
      expect(layer.weights.map((weight) => variableOf(weight).trainable)).to.deep.equal([
        !isFrozen,
        !isFrozen,
      ]);
    }
    model.dispose();
  });

  it('a layer that is frozen and unfrozen between two steps stays off if its block is', async () => {
    const model = createModel();
    const {x, y} = data(1);
    const sampling = new LayerSamplingCallback({probabilities: [0, 1, 0, 0], interval: 5});
    const watch = await WeightWatch.of(model);
    sampling.setModel(model);
    for (let step = 0; step < 4; step++) {
      sampling.step();
      await model.trainOnBatch(x, y);
      expect(await watch.moved()).to.deep.equal(weightsOf(model, ['b1', 'head']));
      for (const layer of model.layers) layer.trainable = false;
      for (const layer of model.layers) layer.trainable = true;
    }
    sampling.restore();
    tf.dispose([x, y]);
    model.dispose();
  });

  it('between two trainings, without compile: as tfjs takes it', async () => {
    const model = createModel();
    const sampling = new LayerSamplingCallback({gamma: 1, interval: 1});
    await fit(model, sampling, 4);
    model.getLayer('b2').trainable = false;
    expectWarning(/^Discrepancy between trainableweights/);
    const watch = await WeightWatch.of(model);
    const {lines} = await captureInfo(() => fit(model, sampling, 8));
    expect(lines[0]).to.match(/not drawn: b2 \(1 of 4\)/);
    const frozen = weightsOf(model, ['b2']);
    const moved = await watch.moved();
    expect(moved).to.include.members(weightsOf(model, ['head']));
    expect(moved.filter((name) => frozen.includes(name))).to.deep.equal([]);
    expect(sampling.probabilities!.blocks).to.deep.equal(['b0', 'b1', 'b3']);
    expect(sampling.blockHistory.blocks).to.deep.equal(['b0', 'b1', 'b2', 'b3']);
    model.dispose();
  });

  it('what was frozen when the model was compiled trains after the next compile, also in the middle', async () => {
    const model = createModel();
    model.getLayer('b2').trainable = false;
    model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    const {x, y} = data(1);
    const sampling = new LayerSamplingCallback({scores: [0.1, 0.1, 9, 0.1], gamma: 1, interval: 1});
    sampling.setModel(model);
    const drawn: string[] = [];
    const steps = async (): Promise<void> => {
      for (let step = 0; step < 10; step++) {
        sampling.step();
        await model.trainOnBatch(x, y);
        drawn.push(...sampling.activeBlocks);
      }
    };
    await captureInfo(steps);
    model.getLayer('b2').trainable = true;
    await captureInfo(steps);
    expect(drawn).not.to.include('b2');
    model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    await steps();
    expect(drawn.slice(20)).to.include('b2');
    expect(sampling.blockHistory.periods).to.have.length(30);
    sampling.restore();
    expect(Object.values(trainability(model))).not.to.include(false);
    tf.dispose([x, y]);
    model.dispose();
  });

  it('stays frozen after an error, and what was on is on', async () => {
    const model = createModel();
    model.getLayer('b0').trainable = false;
    model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    const flags = trainability(model);
    const sampling = new LayerSamplingCallback({gamma: 1, interval: 1});
    const {result} = await captureInfo(() =>
      rejection(
        fit(model, sampling, 4, (step) => {
          if (step === 3) throw new Error('in the middle');
        }),
      ),
    );
    expect(result.message).to.equal('in the middle');
    expect(trainability(model)).to.deep.equal(flags);
    model.dispose();
  });

  it('is not taken for a user’s wish where another callback was left at work', async () => {
    const body = createModel(4);
    const model = tfl.sequential({layers: [body, dense({name: 'top', units: 1})]});
    model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    const left = new LayerSamplingCallback({gamma: 1, interval: 1});
    left.setModel(model);
    left.step();
    // Makes the model inside of a Sequential anew.
    model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    const sampling = new LayerSamplingCallback({gamma: 5, interval: 1});
    await fit(model, sampling, 1);
    expect(sampling.activeBlocks).to.deep.equal(['b0', 'b1', 'b2', 'b3', 'head']);
    expect(Object.values(trainability(model))).not.to.include(false);
    model.dispose();
  });

  it('restores after the model is disposed', () => {
    const model = createModel();
    const sampling = new LayerSamplingCallback({gamma: 1});
    sampling.setModel(model);
    sampling.step();
    model.dispose();
    sampling.restore();
  });
});

describe('LayerSamplingCallback, gamma by default', () => {
  for (const [blocks, gamma] of [
    [1, 1],
    [2, 1],
    [3, 2],
    [4, 3],
    [5, 4],
    [6, 5],
    [7, 5],
  ] as const) {
    it(`is ${gamma} of ${blocks} blocks`, async () => {
      const model = createModel(blocks);
      const sampling = new LayerSamplingCallback({interval: 1});
      const {lines} = await captureInfo(async () => {
        await fit(model, sampling, 8);
        await fit(model, sampling, 2);
      });
      expect(sampling.probabilities!.gamma).to.equal(gamma);
      for (const period of sampling.blockHistory.periods) expect(period).to.have.length(gamma);
      const names = sampling.blockHistory.blocks.join(', ');
      const line =
        blocks === 1
          ? 'one block can train (b0)'
          : `of ${blocks} blocks (${names}) each period leaves one off`;
      expect(lines).to.deep.equal(
        gamma === 5 ? [] : [`LayerSamplingCallback: gamma 5 → ${gamma}: ${line}`],
      );
      model.dispose();
    });
  }

  it('is taken as given otherwise, and says nothing', async () => {
    const model = createModel(2);
    const {lines} = await captureInfo(() => fit(model, new LayerSamplingCallback({gamma: 2}), 2));
    expect(lines).to.deep.equal([]);
    model.dispose();
  });
});

describe('LayerSamplingCallback, frozen blocks', () => {
  /** As one fine-tunes a pre-trained MobileNet: six blocks of convolutions, of which the last one trains, and a new head. */
  function createPretrained(trainableBlocks = 1): tfl.LayersModel {
    const input = tfl.input({shape: [8, 8, 2]});
    let x: tfl.SymbolicTensor = input;
    for (let i = 0; i < 6; i++) {
      const block: tfl.layers.Layer[] = [
        tfl.layers.depthwiseConv2d({
          ...{name: `block${i}.depthwise`, kernelSize: 3, padding: 'same'},
          depthwiseInitializer: tfl.initializers.randomNormal({stddev: 0.5, seed: 2 * i + 1}),
        }),
        tfl.layers.conv2d({
          ...{name: `block${i}.pointwise`, filters: 3, kernelSize: 1, activation: 'tanh'},
          kernelInitializer: tfl.initializers.glorotNormal({seed: 2 * i + 2}),
        }),
      ];
      for (const layer of block) {
        layer.trainable = i >= 6 - trainableBlocks;
        x = layer.apply(x) as tfl.SymbolicTensor;
      }
    }
    x = tfl.layers.globalAveragePooling2d({}).apply(x) as tfl.SymbolicTensor;
    const output = dense({name: 'head', units: 1}).apply(x) as tfl.SymbolicTensor;
    const model = tfl.model({inputs: input, outputs: output});
    // tfjs sets the flags of a layer's weights when they are there.
    for (let i = 0; i < 6 - trainableBlocks; i++) {
      for (const part of ['depthwise', 'pointwise']) {
        model.getLayer(`block${i}.${part}`).trainable = false;
      }
    }
    model.compile({optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError'});
    return model;
  }

  const all = Array.from({length: 6}, (_, i) => `block${i}`);

  async function train(
    model: tfl.LayersModel,
    options: LayerSamplingOptions,
    steps = 6,
  ): Promise<{sampling: LayerSamplingCallback; lines: string[]; moved: string[]}> {
    const sampling = new LayerSamplingCallback({interval: 1, ...options});
    const x = tf.randomNormal([steps, 8, 8, 2], 0, 1, 'float32', 1);
    const y = tf.ones([steps, 1]);
    const watch = await WeightWatch.of(model);
    const {lines} = await captureInfo(() =>
      model.fit(x, y, {batchSize: 1, verbose: 0, callbacks: [sampling]}),
    );
    tf.dispose([x, y]);
    return {sampling, lines, moved: await watch.moved()};
  }

  it('are not drawn: the one that can train is on in every period', async () => {
    const model = createPretrained();
    const {sampling, lines, moved} = await train(model, {});
    expect(sampling.blockHistory).to.deep.equal({
      blocks: all,
      interval: 1,
      periods: new Array(6).fill(['block5']),
    });
    expect(sampling.probabilities).to.deep.include({
      ...{blocks: ['block5'], probabilities: [1], gamma: 1},
    });
    expect(moved).to.deep.equal(weightsOf(model, ['block5.depthwise', 'block5.pointwise', 'head']));
    expect(lines).to.deep.equal([
      'LayerSamplingCallback: blocks without a trainable weight are not drawn: ' +
        'block0, block1, block2, block3, block4 (5 of 6)',
      'LayerSamplingCallback: gamma 5 → 1: one block can train (block5)',
    ]);
    model.dispose();
  });

  it('may have scores, which are left out', async () => {
    const model = createPretrained(2);
    const scores = {blocks: [...all].reverse(), scores: [3, 1, 5, 5, 5, 5]};
    for (const given of [scores, [5, 5, 5, 5, 1, 3], [1, 3]]) {
      const {sampling} = await train(model, {scores: given, gamma: 1});
      expect(sampling.probabilities).to.deep.include({
        ...{blocks: ['block4', 'block5'], probabilities: [0.25, 0.75]},
      });
      for (const period of sampling.blockHistory.periods) expect(period).to.have.length(1);
    }
    model.dispose();
  });

  it('stay off where a block history has them on', async () => {
    const model = createPretrained(2);
    const blockHistory: BlockHistory = {
      ...{blocks: all, interval: 1},
      periods: [['block0', 'block4'], ['block1'], ['block5']],
    };
    const {sampling, moved} = await train(model, {blockHistory}, 3);
    expect(sampling.blockHistory.periods).to.deep.equal([['block4'], [], ['block5']]);
    expect(moved).to.deep.equal(
      weightsOf(model, [
        ...['block4.depthwise', 'block4.pointwise', 'block5.depthwise', 'block5.pointwise'],
        'head',
      ]),
    );
    model.dispose();
  });

  it('can be all: then the rest trains; when some are compiled as trainable the training goes on', async () => {
    const model = createPretrained(0);
    const {sampling, lines, moved} = await train(model, {seed: 1});
    expect(sampling.probabilities).to.equal(null);
    expect(lines).to.have.length(1);
    expect(moved).to.deep.equal(weightsOf(model, ['head']));

    for (const layer of model.layers) layer.trainable = true;
    model.compile({optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError'});
    const [x, y] = [tf.ones([6, 8, 8, 2]), tf.ones([6, 1])];
    await model.fit(x, y, {batchSize: 1, verbose: 0, callbacks: [sampling]});
    const {periods} = sampling.blockHistory;
    expect(periods.map(({length}) => length)).to.deep.equal([0, 0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5]);
    tf.dispose([x, y]);
    model.dispose();
  });

  it('and nothing else that is on: an error', async () => {
    const model = createPretrained(0);
    const flags = trainability(model);
    const error = await rejection(train(model, {alwaysOn: false}));
    expect(error.message).to.match(/nothing is left to train: no weight of the chosen blocks \[\]/);
    expect(trainability(model)).to.deep.equal(flags);
    model.dispose();
  });

  it('leave no room for a larger gamma', async () => {
    const model = createPretrained(2);
    const error = await rejection(train(model, {gamma: 3}));
    expect(error.message).to.equal(
      'LayerSamplingCallback: gamma must be <= 2, the number of blocks with a trainable weight: block4, block5; got 3',
    );
    model.dispose();
  });
});

describe('LayerSamplingCallback, GANs', () => {
  interface Gan {
    discriminator: tfl.LayersModel;
    combined: tfl.LayersModel;
  }

  /** Compiles the discriminator, freezes it and compiles the two together, as in Keras's examples. */
  function createGan(
    discriminator: tfl.LayersModel,
    optimizer: () => tf.Optimizer = () => tf.train.sgd(0.1),
  ): Gan {
    const loss = discriminator.outputs.map(() => 'meanSquaredError');
    discriminator.compile({optimizer: optimizer(), loss});
    const generator = tfl.sequential({
      layers: [
        dense({name: 'g0', units: 4, activation: 'tanh', inputShape: [2]}),
        dense({name: 'g1', units: 4, activation: 'tanh'}),
        dense({name: 'g2', units: 3}),
      ],
    });
    discriminator.trainable = false;
    const noise = tfl.input({shape: [2]});
    const image = generator.apply(noise) as tfl.SymbolicTensor;
    const verdict = discriminator.apply(image) as tfl.SymbolicTensor;
    const combined = tfl.model({inputs: noise, outputs: verdict});
    combined.compile({optimizer: optimizer(), loss});
    return {discriminator, combined};
  }

  /** A body that is a model of its own, and two heads: tfjs's `trainable = false` freezes the variables of the heads alone. */
  function withBody(): tfl.LayersModel {
    const body = tfl.sequential({
      layers: [
        dense({name: 'c0', units: 4, activation: 'tanh', inputShape: [3]}),
        dense({name: 'c1', units: 4, activation: 'tanh'}),
        dense({name: 'c2', units: 4, activation: 'tanh'}),
      ],
    });
    const image = tfl.input({shape: [3]});
    const features = body.apply(image) as tfl.SymbolicTensor;
    const outputs = ['real', 'kind'].map(
      (name) => dense({name, units: 1}).apply(features) as tfl.SymbolicTensor,
    );
    return tfl.model({inputs: image, outputs});
  }

  /** Layers only: all its variables are frozen. */
  function flat(): tfl.LayersModel {
    return tfl.sequential({
      layers: [
        dense({name: 'd0', units: 4, activation: 'tanh', inputShape: [3]}),
        dense({name: 'd1', units: 4, activation: 'tanh'}),
        dense({name: 'd2', units: 1}),
      ],
    });
  }

  /** A step of each model, three times; names of the weights that each of them moved, as the layers have them. */
  async function movedBy(
    {discriminator, combined}: Gan,
    sampling: LayerSamplingCallback[],
    before: (gan: Gan) => void,
  ): Promise<string[][]> {
    const names = new Map(combined.weights.map(({name, originalName}) => [name, originalName]));
    const watch = await WeightWatch.of(combined);
    const moved: string[][] = [];
    for (let step = 0; step < 3; step++) {
      for (const [i, model] of [discriminator, combined].entries()) {
        if (model === discriminator) before({discriminator, combined});
        sampling[i]?.setModel(model);
        sampling[i]?.step();
        const x = tf.randomNormal([4, ...(model.inputs[0]!.shape.slice(1) as number[])], 0, 1);
        const y = model.outputs.map(() => tf.ones([4, 1]));
        await model.trainOnBatch(x, y.length === 1 ? y[0]! : y);
        tf.dispose([x, y]);
        moved.push((await watch.moved()).map((name) => names.get(name)!).sort());
      }
    }
    for (const one of sampling) one.restore();
    combined.dispose();
    return moved;
  }

  const kinds: Array<[string, () => tfl.LayersModel, (gan: Gan) => void]> = [
    ['a discriminator with a body of its own', withBody, () => undefined],
    [
      'a discriminator that is unfrozen before its steps',
      flat,
      ({discriminator}) => {
        discriminator.trainable = true;
      },
    ],
  ];
  /** A callback for each of the two models, which takes every layer for a block. */
  const samplingOf = (gamma: number): LayerSamplingCallback[] =>
    [1, 2].map(
      (seed) =>
        new LayerSamplingCallback({
          blocks: (layer) => ('layers' in layer ? null : layer.name),
          ...{gamma, seed, interval: 1},
        }),
    );

  for (const [title, create, before] of kinds) {
    it(`${title}: with all blocks on, what stock tfjs trains`, async () => {
      const stock = await movedBy(createGan(create()), [], before);
      expect(stock.map(({length}) => length)).to.deep.equal([6, 6, 6, 6, 6, 6]);
      const {result} = await captureInfo(() => movedBy(createGan(create()), samplingOf(3), before));
      expect(result).to.deep.equal(stock);
    });

    it(`${title}: with one block on, one of these`, async () => {
      const stock = await movedBy(createGan(create()), [], before);
      const sampling = samplingOf(1);
      const {result} = await captureInfo(() => movedBy(createGan(create()), sampling, before));
      result.forEach((moved, i) => {
        const [block] = sampling[i % 2]!.blockHistory.periods[Math.floor(i / 2)]!;
        expect(moved).to.deep.equal(stock[i]!.filter((name) => name.startsWith(`${block}/`)));
        expect(moved).to.have.length(2);
      });
    });
  }

  for (const [title, create, before] of kinds) {
    for (const gamma of [3, 1]) {
      it(`${title}: attached with its optimizer after it was frozen, ${gamma} blocks on`, async () => {
        const finals: number[][] = [];
        const initial: tf.Tensor[] = [];
        for (const make of [
          () => tf.train.adam(0.01, 0.9, 0.999, 1e-8),
          () => new OwLoreOptimizer({learningRate: 0.01}),
        ]) {
          const gan = createGan(create(), make);
          const models = [gan.discriminator, gan.combined];
          if (initial.length > 0) gan.combined.setWeights(initial);
          else initial.push(...gan.combined.getWeights().map((weight) => weight.clone()));
          const isOurs = finals.length > 0;
          const sampling = isOurs ? samplingOf(gamma) : [];
          const watch = await WeightWatch.of(gan.combined);
          await captureInfo(async () => {
            sampling.forEach((one, i) => one.attach(models[i]!, models[i]!.optimizer));
            for (let step = 0; step < 6; step++) {
              for (const [i, model] of models.entries()) {
                if (i === 0) before(gan);
                else gan.discriminator.trainable = false;
                sampling[i]?.step();
                const shape = [4, ...(model.inputs[0]!.shape.slice(1) as number[])];
                const x = tf.randomNormal(shape, 0, 1, 'float32', step + 1);
                const y = model.outputs.map(() => tf.ones([4, 1]));
                await model.trainOnBatch(x, y.length === 1 ? y[0]! : y);
                tf.dispose([x, y]);
                const moved = (await watch.moved()).length;
                if (isOurs) expect(moved, `step ${step} of ${i}`).to.equal(2 * gamma);
              }
            }
          });
          sampling.forEach((one) => one.restore());
          const arrays = await Promise.all(gan.combined.getWeights().map((x) => x.data()));
          finals.push(arrays.flatMap((array) => [...array]));
          models.forEach(({optimizer}) => optimizer.dispose());
          gan.combined.dispose();
        }
        tf.dispose(initial);
        if (gamma !== 3) return;
        // Six steps of at most 0.01: rounding shows where a gradient is nearly 0.
        finals[1]!.forEach((x, i) => expect(x).to.be.closeTo(finals[0]![i]!, 1e-3));
      });
    }
  }

  it('a discriminator of which tfjs would train nothing: an error that says why', () => {
    const {discriminator, combined} = createGan(flat());
    const sampling = new LayerSamplingCallback();
    sampling.setModel(discriminator);
    expect(() => sampling.step()).to.throw(
      /no weight of the model is trainable: tfjs trains those that were when the model was compiled, and still are/,
    );
    combined.dispose();
  });
});

describe('LayerSamplingCallback, several models', () => {
  it('each starts anew, as with a callback of its own', async () => {
    const sampling = new LayerSamplingCallback({gamma: 1, interval: 3, seed: 5});
    // Of a training that is too short: once by the callback of both, and once by each of the others; equal lines come once.
    for (let i = 0; i < 2; i++)
      expectWarning(/blocks can be trained in so few steps \(\d, with other blocks every 3\)/);
    for (const steps of [5, 13, 7]) {
      const model = createModel();
      const own = new LayerSamplingCallback({gamma: 1, interval: 3, seed: 5});
      await fit(model, own, steps);
      await fit(model, sampling, steps);
      expect(sampling.blockHistory).to.deep.equal(own.blockHistory);
      expect(sampling.blockHistory.periods).to.have.length(Math.ceil(steps / 3));
      model.dispose();
    }
  });

  it('one goes on when it was compiled again, and from a loop of one’s own to fit', async () => {
    const whole = new LayerSamplingCallback({gamma: 1, interval: 3, seed: 5});
    const model = createModel();
    await fit(model, whole, 15);

    const sampling = new LayerSamplingCallback({gamma: 1, interval: 3, seed: 5});
    const {x, y} = data(1);
    sampling.setModel(model);
    for (let step = 0; step < 7; step++) {
      sampling.step();
      await model.trainOnBatch(x, y);
      if (step === 4) model.compile({optimizer: 'adam', loss: 'meanSquaredError'});
    }
    sampling.restore();
    await fit(model, sampling, 5);
    model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    await fit(model, sampling, 3);
    expect(sampling.blockHistory).to.deep.equal(whole.blockHistory);
    expect(Object.values(trainability(model))).not.to.include(false);
    tf.dispose([x, y]);
    model.dispose();
  });

  for (const [how, change] of [
    ['compile', (model, optimizer) => model.compile({optimizer, loss: 'meanSquaredError'})],
    [
      'model.optimizer',
      (model, optimizer) => {
        model.optimizer = optimizer;
      },
    ],
  ] as Array<[string, (model: tfl.LayersModel, optimizer: tf.Optimizer) => void]>) {
    it(`a new optimizer in the middle of a loop gets the plan: by ${how}`, async () => {
      const model = createModel();
      const {x, y} = data(1);
      const sampling = new LayerSamplingCallback({probabilities: [0, 1, 0, 0], interval: 1});
      const refreshed: string[] = [];
      sampling.events.on('refresh', ({variable}) => refreshed.push(variable));
      sampling.setModel(model);
      sampling.step();
      await model.trainOnBatch(x, y);
      const optimizer = new OwLoreOptimizer({rank: 2});
      change(model, optimizer);
      sampling.step();
      await model.trainOnBatch(x, y);
      expect(refreshed).to.deep.equal([
        model.getLayer('b1').weights.find(({shape}) => shape.length === 2)!.name,
      ]);
      sampling.restore();
      tf.dispose([x, y]);
      model.dispose();
      optimizer.dispose();
    });
  }

  it('one that is compiled again with the same optimizer trains what is trainable then', async () => {
    const optimizer = tf.train.sgd(0.1);
    const model = createModel(4, optimizer);
    model.getLayer('b2').trainable = false;
    model.compile({optimizer, loss: 'meanSquaredError'});
    const {x, y} = data(1);
    const sampling = new LayerSamplingCallback({gamma: 3, interval: 1});
    sampling.setModel(model);
    await captureInfo(() => sampling.step());
    expect(sampling.activeBlocks).to.deep.equal(['b0', 'b1', 'b3']);
    await model.trainOnBatch(x, y);
    model.getLayer('b2').trainable = true;
    model.compile({optimizer, loss: 'meanSquaredError'});
    sampling.step();
    expect(sampling.probabilities!.blocks).to.deep.equal(['b0', 'b1', 'b2', 'b3']);
    sampling.restore();
    tf.dispose([x, y]);
    model.dispose();
  });

  it('one that was saved and loaded goes on by initialStep', async () => {
    const model = createModel();
    const whole = new LayerSamplingCallback({gamma: 1, interval: 3, seed: 5});
    await fit(model, whole, 15);
    const topology = JSON.parse(model.toJSON() as string) as Parameters<
      typeof tfl.models.modelFromJSON
    >[0];
    const loaded = await tfl.models.modelFromJSON(topology);
    loaded.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    const resumed = new LayerSamplingCallback({gamma: 1, interval: 3, seed: 5, initialStep: 7});
    await fit(loaded, resumed, 8);
    expect(resumed.blockHistory).to.deep.equal(whole.blockHistory);
    model.dispose();
    loaded.dispose();
  });
});
