import {mkdtemp, rm} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {build} from 'esbuild';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  LayerSamplingCallback,
  linearDecay,
  OwLoreOptimizer,
  samplingProbabilities,
} from '../../src/index';
import type {
  FreezeEvent,
  LayerSamplingOptions,
  LayerSamplingState,
  SampleEvent,
  BlockHistory,
} from '../../src/index';
import {samplerNames} from '../../src/owlore/sampling/samplers';
import {rejection} from '../support/rejection';
import {captureInfo, expectWarning} from '../support/warnings';

const blocks = ['b0', 'b1', 'b2', 'b3'];

/** Four equal hidden layers, which are the blocks, and a head. */
function createModel(optimizer: tf.Optimizer | string | null = 'sgd'): tfl.LayersModel {
  const model = tfl.sequential();
  blocks.forEach((name, i) =>
    model.add(
      tfl.layers.dense({name, units: 3, activation: 'tanh', inputShape: i === 0 ? [3] : undefined}),
    ),
  );
  model.add(tfl.layers.dense({name: 'head', units: 1}));
  if (optimizer) model.compile({optimizer, loss: 'meanSquaredError'});
  return model;
}

/** Trains for `steps` batches. */
async function fit(
  model: tfl.LayersModel,
  callbacks: unknown,
  steps = 8,
  extra: Partial<tfl.ModelFitArgs> = {},
): Promise<void> {
  const x = tf.randomNormal([steps, 3], 0, 1, 'float32', 1);
  const y = tf.ones([steps, 1]);
  try {
    await model.fit(x, y, {
      batchSize: 1,
      verbose: 0,
      callbacks: callbacks as tfl.Callback[],
      ...extra,
    });
  } finally {
    tf.dispose([x, y]);
  }
}

function trainable(model: tfl.LayersModel): boolean[] {
  return model.layers.flatMap(({weights}) => weights.map(isOn));
}

/** Whether tfjs trains the weight. */
function isOn(weight: tfl.LayerVariable): boolean {
  return (weight.read() as tf.Variable).trainable;
}

async function errorOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error as Error).message,
  );
}

/** The values of all weights, to see that nothing has moved. */
function snapshot(model: tfl.LayersModel): Promise<number[][]> {
  return Promise.all(model.getWeights().map(async (weight) => [...(await weight.data())]));
}

describe('LayerSamplingCallback', () => {
  describe('options', () => {
    const messages: Array<[Record<string, unknown>, RegExp]> = [
      [{gamma: 0}, /gamma must be a number > 0; got 0/],
      [{interval: 0.5}, /interval must be an integer >= 1; got 0.5/],
      [{sampler: 'random'}, /sampler must be one of 'exact', .*; got 'random'/],
      [{method: 'max'}, /method must be one of 'waterfill', 'clip'; got 'max'/],
      [{floor: 2}, /floor must be a number >= 0 and <= 1; got 2/],
      [{scores: 'ows'}, /scores must be one of 'uniform', 'decreasing'; got 'ows'/],
      [{probabilities: []}, /probabilities must be a non-empty array/],
      [{probabilities: null}, /probabilities must be a non-empty array .*; got null/],
      [{probabilities: {length: 2}}, /probabilities must be a non-empty array/],
      [{probabilities: {probabilities: []}}, /probabilities must be a non-empty array/],
      [{scores: Promise.resolve([1])}, /scores is a promise: await it/],
      [{alwaysOn: [1]}, /alwaysOn must be 'auto', false, an array .* got \[1\]/],
      [{scores: [1], probabilities: [1]}, /give scores or probabilities, not both/],
      [{alwaysOn: true}, /alwaysOn must be 'auto', false, an array .* got true/],
      [{seed: -1}, /seed must be an integer >= 0 and <= 4294967295; got -1/],
      [{initialStep: -1}, /initialStep must be an integer >= 0 .*; got -1/],
      [{initialStep: 1e15}, /initialStep must be an integer .*; got 1000000000000000/],
      [{blockHistory: {blocks: ['a']}}, /blockHistory must be {blocks: string\[\], interval/],
      [
        {blockHistory: {blocks: ['a'], interval: 1, periods: [['b']]}},
        /blockHistory has block 'b' in a period, but not among its blocks \(a\)/,
      ],
      [{intervall: 3}, /unknown option 'intervall'; did you mean 'interval'\?/],
    ];
    for (const [options, message] of messages) {
      it(`rejects ${JSON.stringify(options)}`, () => {
        expect(() => new LayerSamplingCallback(options)).to.throw(message);
      });
    }
  });

  it('takes the default of an option that is undefined, and bounds that are allowed', () => {
    for (const options of [
      {gamma: undefined, interval: undefined, alwaysOn: undefined},
      {floor: 0, seed: 0, initialStep: 0},
      {floor: 1, interval: 1, seed: 2 ** 32 - 1, gamma: 1e-9},
      {probabilities: samplingProbabilities([1, 2], {gamma: 1})},
      {scores: undefined, probabilities: [1]},
      {scores: [1], probabilities: undefined},
    ] as LayerSamplingOptions[]) {
      expect(() => new LayerSamplingCallback(options)).not.to.throw();
    }
    expect(new LayerSamplingCallback({gamma: undefined}).settings).to.deep.equal(
      new LayerSamplingCallback().settings,
    );
  });

  it('samples, trains and restores', async () => {
    const model = createModel();
    const callback = new LayerSamplingCallback({gamma: 2, interval: 2, seed: 7});
    const samples: SampleEvent[] = [];
    const changes: FreezeEvent[] = [];
    callback.events.on('sample', (event) => samples.push(event));
    callback.events.on('freeze', (event) => changes.push(event));
    const seen: boolean[][] = [];
    class Watcher extends tfl.Callback {
      override async onBatchEnd(): Promise<void> {
        seen.push(trainable(model));
      }
    }
    await fit(model, [callback, new Watcher()]);

    expect(samples.map(({step}) => step)).to.deep.equal([1, 3, 5, 7]);
    expect(samples.map(({period}) => period)).to.deep.equal([0, 1, 2, 3]);
    for (const sample of samples) expect(sample.blocks).to.have.length(2);
    expect(callback.blockHistory).to.deep.equal({
      blocks,
      interval: 2,
      periods: samples.map((sample) => sample.blocks),
    });
    seen.forEach((flags, step) => {
      const on = samples[Math.floor(step / 2)]!.blocks;
      const expected = [...blocks.map((name) => on.includes(name)), true];
      expect(flags).to.deep.equal(expected.flatMap((flag) => [flag, flag]));
    });
    let active = new Set<string>();
    for (const {frozen, unfrozen} of changes) {
      active = new Set([...active].filter((name) => !frozen.includes(name)).concat(unfrozen));
    }
    expect([...active].sort()).to.deep.equal(callback.activeBlocks);
    expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
    expect(callback.probabilities?.probabilities).to.deep.equal([0.5, 0.5, 0.5, 0.5]);
    model.dispose();
  });

  it('tells what a period froze, and nothing where it has the blocks of the last one', async () => {
    const model = createModel();
    const periods = [['b0'], ['b0'], ['b0', 'b1'], ['b1'], ['b2']];
    const callback = new LayerSamplingCallback({blockHistory: {blocks, interval: 1, periods}});
    const samples: SampleEvent[] = [];
    const changes: FreezeEvent[] = [];
    callback.events.on('sample', (event) => {
      samples.push(event);
      // what a listener does with its list is its own business
      event.blocks.sort();
    });
    callback.events.on('freeze', (event) => changes.push(event));
    expect(callback.activeBlocks).to.deep.equal([]);
    await fit(model, [callback], 5);
    expect(samples.map(({blocks: names}) => names)).to.deep.equal(periods);
    expect(changes).to.deep.equal([
      {step: 1, frozen: [], unfrozen: ['b0']},
      {step: 3, frozen: [], unfrozen: ['b1']},
      {step: 4, frozen: ['b0'], unfrozen: []},
      {step: 5, frozen: ['b1'], unfrozen: ['b2']},
    ]);
    model.dispose();
  });

  it('goes on in the next fit, by initialStep, and by replaying a schedule', async () => {
    const model = createModel();
    const options = {gamma: 1, interval: 3, seed: 11} as const;
    const whole = new LayerSamplingCallback(options);
    await fit(model, [whole], 15);
    const parts = new LayerSamplingCallback(options);
    await fit(model, [parts], 12);
    await fit(model, [parts], 3);
    expect(parts.blockHistory).to.deep.equal(whole.blockHistory);

    const resumed = new LayerSamplingCallback({...options, initialStep: 7});
    await fit(model, [resumed], 8);
    expect(resumed.blockHistory).to.deep.equal(whole.blockHistory);

    const saved = JSON.parse(JSON.stringify(whole.blockHistory)) as BlockHistory;
    const replayed = new LayerSamplingCallback({blockHistory: saved});
    await fit(model, [replayed], 15);
    expect(replayed.blockHistory).to.deep.equal(whole.blockHistory);
    const tooLong = new LayerSamplingCallback({blockHistory: saved});
    const before = await snapshot(model);
    expect(await errorOf(fit(model, [tooLong], 16))).to.match(
      /blockHistory has 5 periods of 3 steps and ends before step 16/,
    );
    expect(await snapshot(model)).to.deep.equal(before);
    model.dispose();
  });

  it('replays a block history in a fitDataset that goes on at initialEpoch, to its end and no further', async () => {
    const model = createModel();
    const whole = new LayerSamplingCallback({gamma: 1, interval: 4, seed: 11});
    await fit(model, [whole], 16);
    async function* twoPeriods(): AsyncGenerator<{xs: tf.Tensor; ys: tf.Tensor}> {
      for (let i = 0; i < 8; i++) yield {xs: tf.ones([1, 3]), ys: tf.ones([1, 1])};
    }
    const data = {size: 8, iterator: async () => twoPeriods()} as never;
    const replayed = new LayerSamplingCallback({blockHistory: whole.blockHistory});
    const train = (initialEpoch: number, epochs: number): Promise<unknown> =>
      model.fitDataset(data, {initialEpoch, epochs, callbacks: [replayed], verbose: 0});
    await train(0, 1);
    const before = await snapshot(model);
    expect(await errorOf(train(1, 3))).to.match(/4 periods of 4 steps and ends before step 21/);
    expect(await snapshot(model)).to.deep.equal(before);
    await train(1, 2);
    expect(replayed.blockHistory).to.deep.equal(whole.blockHistory);
    model.dispose();
  });

  it('lets a dataset be empty', async () => {
    const model = createModel();
    const nothing = {
      size: 0,
      iterator: async () => ({next: async () => ({value: null, done: true})}),
    };
    const blockHistory = {blocks, interval: 2, periods: [['b0']]};
    const callback = new LayerSamplingCallback({blockHistory});
    await model.fitDataset(nothing, {epochs: 1, verbose: 0, callbacks: [callback]});
    expect([callback.steps, callback.blockHistory.periods.length]).to.deep.equal([0, 0]);
    await fit(model, [callback], 2);
    expect(callback.blockHistory.periods).to.deep.equal([['b0']]);
    model.dispose();
  });

  it('can be ended by another callback of its fit, and goes on after a loop inside of it', async () => {
    const model = createModel();
    const callback = new LayerSamplingCallback({gamma: 1, interval: 1, seed: 2});
    const inner = new LayerSamplingCallback({gamma: 4, interval: 1});
    const on: boolean[] = [];
    const other = new tfl.CustomCallback({
      onBatchEnd: (batch) => {
        if (batch !== 1) return;
        inner.attach(model);
        inner.step();
        on.push(trainable(model).includes(false));
        inner.restore();
      },
      onEpochEnd: () => callback.restore(),
    });
    // left without restore(): the fit takes over again
    const leaving = new tfl.CustomCallback({
      onBatchEnd: (batch) => {
        if (batch !== 2) return;
        inner.attach(model);
        inner.step();
      },
    });
    await fit(model, [callback, other, leaving], 8);
    expect(on).to.deep.equal([false]);
    expect(callback.blockHistory.periods.map(({length}) => length)).to.deep.equal(
      new Array(8).fill(1),
    );
    expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
    model.dispose();
  });

  describe('state', () => {
    /** A loop of one's own, which is free to be as short as it likes. */
    async function train(
      model: tfl.LayersModel,
      callback: LayerSamplingCallback,
      batches: number,
    ): Promise<void> {
      const [x, y] = [tf.ones([1, 3]), tf.ones([1, 1])];
      try {
        callback.attach(model);
        for (let i = 0; i < batches; i++) {
          callback.step();
          await model.trainOnBatch(x, y);
        }
      } finally {
        callback.restore();
        tf.dispose([x, y]);
      }
    }

    for (const sampler of samplerNames) {
      it(`goes on in a new callback after any batch, with sampler '${sampler}'`, async () => {
        const options = {scores: [4, 1, 2, 3], gamma: 2, interval: 3, sampler, seed: 5} as const;
        const optimizer = (): OwLoreOptimizer => new OwLoreOptimizer({accumulate: 2});
        const model = createModel(optimizer());
        const whole = new LayerSamplingCallback(options);
        await train(model, whole, 30);
        for (const batches of [0, 1, 5, 6, 7, 17]) {
          model.optimizer.dispose();
          const first = new LayerSamplingCallback(options);
          await train(model, first, batches);
          const state = JSON.parse(JSON.stringify(first.getState())) as LayerSamplingState;
          const resumed = new LayerSamplingCallback(options);
          resumed.setState(state);
          expect(resumed.getState()).to.deep.equal(state);
          expect(resumed.steps).to.equal(first.steps);
          expect(resumed.activeBlocks).to.deep.equal(first.activeBlocks);
          await train(model, resumed, 30 - batches);
          expect(resumed.blockHistory).to.deep.equal(whole.blockHistory);
          expect(resumed.steps).to.equal(15);
        }
        model.optimizer.dispose();
        model.dispose();
      });
    }

    it('counts a step that flush() makes after it was set', async () => {
      const model = createModel(new OwLoreOptimizer({accumulate: 3}));
      const first = new LayerSamplingCallback({interval: 2});
      await train(model, first, 4);
      const resumed = new LayerSamplingCallback({interval: 2});
      resumed.setState(first.getState());
      resumed.attach(model);
      (model.optimizer as OwLoreOptimizer).flush();
      expect([first.steps, resumed.steps]).to.deep.equal([2, 2]);
      resumed.restore();
      model.optimizer.dispose();
      model.dispose();
    });

    it('ends the loop in which it is set, and the next step goes on from it', async () => {
      const model = createModel('sgd');
      const options = {gamma: 1, interval: 2} as const;
      const first = new LayerSamplingCallback({...options, seed: 3});
      await train(model, first, 5);
      const other = new LayerSamplingCallback({...options, seed: 3});
      other.attach(model);
      other.step();
      expect(trainable(model)).to.include(false);
      other.setState(first.getState());
      expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
      other.step();
      expect(other.blockHistory).to.deep.equal(first.blockHistory);
      expect(other.steps).to.equal(6);
      expect(other.activeBlocks).to.deep.equal(first.activeBlocks);
      expect(trainable(model)).to.include(false);
      other.restore();
      model.dispose();
    });

    it('of a callback that has not trained has the interval of the one that goes on from it', () => {
      const untrained = new LayerSamplingCallback().getState();
      const fixed = new LayerSamplingCallback({interval: 5});
      fixed.setState(untrained);
      expect([fixed.blockHistory.interval, fixed.steps]).to.deep.equal([5, 0]);
      const auto = new LayerSamplingCallback();
      auto.setState({...untrained, interval: 13});
      expect(auto.blockHistory.interval).to.equal(13);
      auto.setState(untrained);
      expect(auto.getState()).to.deep.equal(untrained);
      expect(auto.blockHistory.interval).to.equal(50);
    });

    it('is refused by a model that it is not of, which stays as it was', async () => {
      const model = createModel('sgd');
      const first = new LayerSamplingCallback({gamma: 1});
      await train(model, first, 2);
      const state = first.getState();
      const wrong: Array<[LayerSamplingState, RegExp]> = [
        [{...state, blocks: [...blocks, 'b4']}, /with the blocks b0, .*, b4; this one has b0/],
        [
          {...state, probabilities: {...state.probabilities!, probabilities: [1, 0, 0, 0]}},
          /with the probabilities b0: 1, b1: 0, .*; those of this model are b0: 0.25/,
        ],
      ];
      for (const [other, message] of wrong) {
        const before = await snapshot(model);
        const callback = new LayerSamplingCallback({gamma: 1});
        callback.setState(other);
        expect(await errorOf(train(model, callback, 2))).to.match(message);
        expect(await snapshot(model)).to.deep.equal(before);
        expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
      }
      for (const [other, message] of [
        [null, /a state must be \{blocks, .*\}, as callback.getState\(\) gives it; got null/],
        [{...state, steps: -1}, /steps must be an integer >= 0 and <= \d+; got -1/],
        [{...state, periods: [['b9']]}, /periods\[0\] must be names of its blocks, .*; got 'b9'/],
      ] as const) {
        const callback = new LayerSamplingCallback({gamma: 1});
        expect(() => callback.setState(other as LayerSamplingState)).to.throw(message);
        expect(callback.steps).to.equal(0);
      }
      model.dispose();
    });

    it('is gone on from by a callback with an initialStep, which begins no period of its own', async () => {
      const model = createModel('sgd');
      const first = new LayerSamplingCallback({gamma: 1, interval: 2});
      await train(model, first, 3);
      const resumed = new LayerSamplingCallback({gamma: 1, interval: 2, initialStep: 20});
      // it has drawn for the steps before, and trained none
      const fresh = new LayerSamplingCallback({gamma: 1, interval: 2});
      fresh.setState(resumed.getState());
      fresh.attach(model);
      expect([fresh.steps, fresh.blockHistory.periods.length]).to.deep.equal([20, 10]);
      fresh.restore();
      resumed.setState(first.getState());
      for (const batches of [2, 3]) {
        await train(model, first, batches);
        await train(model, resumed, batches);
        expect(resumed.steps).to.equal(first.steps);
        expect(resumed.blockHistory).to.deep.equal(first.blockHistory);
      }
      model.dispose();
    });

    it('is refused with other steps than its periods began; then nothing is changed', async () => {
      const model = createModel('sgd');
      const options = {gamma: 1, interval: 3} as const;
      const first = new LayerSamplingCallback(options);
      await train(model, first, 5);
      const state = first.getState();
      expect([state.steps, state.periods.length]).to.deep.equal([5, 2]);
      const callback = new LayerSamplingCallback(options);
      for (const steps of [3, 6]) callback.setState({...state, steps});
      for (const steps of [0, 2, 7, 1000]) {
        expect(() => callback.setState({...state, steps})).to.throw(
          `steps of 2 periods of 3 must be an integer >= 3 and <= 6; got ${steps}`,
        );
      }
      expect(() => callback.setState({...state, periods: [], steps: 1000, open: null})).to.throw(
        'steps of 0 periods of 3 must be an integer >= 0 and <= 0; got 1000',
      );
      model.dispose();
    });

    it('tells the options, to compare them', () => {
      const {settings} = new LayerSamplingCallback({blocks: /^b/, alwaysOn: () => true, seed: 3});
      expect(settings).to.include({
        blocks: '/^b/',
        alwaysOn: 'a function',
        seed: 3,
        interval: 'auto',
      });
      expect(settings).not.to.have.property('initialStep');
    });
  });

  describe("interval: 'auto'", () => {
    /** Trains for as many batches of one row. */
    async function train(
      model: tfl.LayersModel,
      callback: LayerSamplingCallback,
      args: {rows: number; epochs?: number; initialEpoch?: number},
    ): Promise<void> {
      const {rows, ...others} = args;
      const [x, y] = [tf.ones([rows, 3]), tf.ones([rows, 1])];
      const callbacks = [callback];
      await model.fit(x, y, {batchSize: 1, verbose: 0, ...others, callbacks});
      tf.dispose([x, y]);
    }

    const ours = (accumulate = 1): OwLoreOptimizer => new OwLoreOptimizer({accumulate});
    for (const [what, optimizer, args, interval] of [
      ['a tenth of the steps', () => tf.train.sgd(0.1), {rows: 120, epochs: 2}, 24],
      [
        'without epochs before the first',
        () => tf.train.sgd(0.1),
        {rows: 60, epochs: 5, initialEpoch: 2},
        18,
      ],
      ['at least 10', () => tf.train.sgd(0.1), {rows: 30, epochs: 1}, 10],
      ['steps of several batches', () => ours(2), {rows: 120, epochs: 3}, 18],
      ['at most 50', () => tf.train.sgd(0.1), {rows: 700, epochs: 1}, 50],
    ] as const) {
      it(`${what}: ${interval}`, async () => {
        const callback = new LayerSamplingCallback({gamma: 1, sampler: 'permutation'});
        expect([callback.blockHistory.interval, callback.getState().interval]).to.deep.equal([
          50,
          null,
        ]);
        const model = createModel(optimizer());
        if (interval === 10) expectWarning(/at most 3 of 4 blocks .* every 10\)/);
        await train(model, callback, args);
        const periods = Math.ceil(callback.steps / interval);
        expect(callback.blockHistory.interval).to.equal(interval);
        expect(callback.getState().interval).to.equal(interval);
        expect(callback.blockHistory.periods).to.have.length(periods);
        await train(model, callback, {rows: 20, epochs: 1});
        expect(callback.blockHistory.interval, 'in the next fit').to.equal(interval);
        model.optimizer.dispose();
        model.dispose();
      });
    }

    it('is 50 in a loop, and where a dataset does not tell its length', async () => {
      const [x, y] = [tf.ones([2, 3]), tf.ones([2, 1])];
      const model = createModel();
      const callback = new LayerSamplingCallback({gamma: 1});
      callback.attach(model);
      for (let step = 0; step < 51; step++) {
        callback.step();
        await model.trainOnBatch(x, y);
      }
      callback.restore();
      expect(callback.blockHistory.periods).to.have.length(2);
      const other = createModel(ours());
      const datasetCallback = new LayerSamplingCallback({gamma: 1});
      const batches = [1, 2, 3].map(() => ({xs: x, ys: y}));
      const dataset = {
        size: null,
        iterator: async () => {
          let next = 0;
          return {
            next: async () =>
              next < batches.length
                ? {value: tf.tidy(() => ({xs: x.clone(), ys: y.clone()})), done: false, i: next++}
                : {value: null, done: true},
          };
        },
      };
      await other.fitDataset(dataset as never, {
        epochs: 1,
        verbose: 0,
        callbacks: [datasetCallback],
      });
      expect(datasetCallback.getState().interval).to.equal(50);
      other.optimizer.dispose();
      tf.dispose([x, y]);
      for (const each of [model, other]) each.dispose();
    });

    it('goes on as it was chosen, in a callback that takes over the state', async () => {
      const model = createModel();
      const whole = new LayerSamplingCallback({gamma: 1});
      await train(model, whole, {rows: 130, epochs: 2});
      const first = new LayerSamplingCallback({gamma: 1});
      await train(model, first, {rows: 130, epochs: 1});
      expect(first.blockHistory.interval).to.equal(13);
      const second = new LayerSamplingCallback({gamma: 1});
      const state = first.getState();
      second.setState(state);
      await train(model, second, {rows: 130, epochs: 2, initialEpoch: 1});
      expect(second.blockHistory.interval).to.equal(13);
      expect(second.blockHistory.periods.slice(0, 10)).to.deep.equal(first.blockHistory.periods);
      expect(whole.blockHistory.interval).to.equal(26);
      for (const [wrong, message] of [
        [{...state, interval: 20}, /steps of 10 periods of 20/],
        [{...state, interval: null}, /interval must be a number, with blocks/],
        [{...state, interval: 0.5}, /interval must be an integer >= 1/],
      ] as const) {
        expect(() => second.setState(wrong)).to.throw(message);
      }
      const fixed = new LayerSamplingCallback({gamma: 1, interval: 5});
      expect(() => fixed.setState(state)).to.throw(/interval must be 5, the callback's/);
      model.dispose();
    });
  });

  it('takes instances and plain objects in one array', async () => {
    for (const isFirst of [true, false]) {
      const calls: string[] = [];
      const plain = {onEpochEnd: () => void calls.push('end'), onYield: () => undefined};
      const callback = new LayerSamplingCallback({gamma: 1, interval: 1});
      const instance = new tfl.CustomCallback({onTrainEnd: () => void calls.push('train end')});
      const callbacks = isFirst ? [callback, plain, instance] : [plain, instance, callback];
      const model = createModel();
      const [x, y] = [tf.ones([4, 3]), tf.ones([4, 1])];
      const fit = {epochs: 2, batchSize: 1, verbose: 0, callbacks: callbacks as tfl.Callback[]};
      await model.fit(x, y, fit);
      expect(calls).to.deep.equal(['end', 'end', 'train end']);
      expect(callback.steps).to.equal(8);
      expect(fit.callbacks).to.include(plain, 'the array stays as it was');
      tf.dispose([x, y]);
      model.dispose();
    }
  });

  it('names what is no callback in an array, and leaves the model as it was', async () => {
    const model = createModel();
    const [x, y] = [tf.ones([4, 3]), tf.ones([4, 1])];
    const plain = {onEpochEnd: () => undefined};
    for (const [nothing, name] of [
      [undefined, 'undefined'],
      [null, 'null'],
      [false, 'false'],
      ['EarlyStopping', 'EarlyStopping'],
    ] as const) {
      const callbacks = [new LayerSamplingCallback({gamma: 1}), nothing, plain];
      const {message} = await rejection(
        model.fit(x, y, {verbose: 0, callbacks: callbacks as tfl.Callback[]}),
      );
      expect(message).to.match(new RegExp(`^fit: callbacks\\[1\\] must be .*; got ${name}$`));
    }
    await model.fit(x, y, {verbose: 0, callbacks: [new LayerSamplingCallback({gamma: 4})]});
    tf.dispose([x, y]);
    model.dispose();
  });

  it('lets a model without blocks train as without a callback, and says so', async () => {
    const trained: number[][] = [];
    for (const isSampled of [false, true]) {
      const model = tfl.sequential({
        layers: [tfl.layers.dense({units: 5, inputShape: [4], kernelInitializer: 'ones'})],
      });
      const optimizer = new OwLoreOptimizer({rank: 2, learningRate: 0.1});
      model.compile({optimizer, loss: 'meanSquaredError'});
      const callbacks = isSampled ? [new LayerSamplingCallback()] : [];
      const [x, y] = [tf.ones([4, 4]), tf.zeros([4, 5])];
      const {lines} = await captureInfo(async () => {
        for (let i = 0; i < 2; i++) await model.fit(x, y, {epochs: 2, verbose: 0, callbacks});
      });
      expect(lines).to.deep.equal(
        isSampled
          ? [
              'LayerSamplingCallback: the model has no blocks to draw from (see findBlocks): all of it trains in every step',
            ]
          : [],
      );
      trained.push(model.getWeights().flatMap((weight) => [...weight.dataSync()]));
      expect((await optimizer.getWeights()).some(({name}) => name.endsWith('basis'))).to.equal(
        true,
      );
      tf.dispose([x, y]);
      optimizer.dispose();
      model.dispose();
    }
    expect(trained[1]).to.deep.equal(trained[0]);
  });

  it('says when a loop calls the optimizer and never step()', async () => {
    const model = createModel();
    const optimizer = new OwLoreOptimizer();
    const [x, y] = [tf.ones([2, 3]), tf.ones([2, 1])];
    model.compile({optimizer, loss: 'meanSquaredError'});
    const callback = new LayerSamplingCallback({gamma: 1});
    callback.attach(model);
    expectWarning(/has made 10 steps without a call of callback.step\(\).* before each call/);
    for (let step = 0; step < 20; step++) await model.trainOnBatch(x, y);
    tf.dispose([x, y]);
    optimizer.dispose();
    model.dispose();
  });

  it('says so of more than ten steps in a row, and not after restore()', async () => {
    const optimizer = new OwLoreOptimizer();
    const model = createModel(optimizer);
    const [x, y] = [tf.ones([2, 3]), tf.ones([2, 1])];
    const callback = new LayerSamplingCallback({gamma: 1});
    callback.attach(model);
    for (let round = 0; round < 2; round++) {
      for (let step = 0; step < 10; step++) await model.trainOnBatch(x, y);
      callback.step();
    }
    callback.restore();
    for (let step = 0; step < 20; step++) await model.trainOnBatch(x, y);
    tf.dispose([x, y]);
    optimizer.dispose();
    model.dispose();
  });

  it('has the learning rate in the logs', async () => {
    const rates = [0.4, 0.3, 0.2, 0.1];
    for (const optimizer of [
      new OwLoreOptimizer({project: false, learningRate: linearDecay(0.4, 4), accumulate: 2}),
      tf.train.sgd(0.5),
    ]) {
      const model = createModel(optimizer);
      const isOurs = optimizer.getClassName() === 'OwLoreOptimizer';
      const seen: unknown[] = [];
      const look = (): tfl.CustomCallback =>
        new tfl.CustomCallback({onBatchEnd: (_, logs) => void seen.push(logs!.lr)});
      const epochs: unknown[] = [];
      const atEpochs = new tfl.CustomCallback({
        onEpochEnd: (_, logs) => void epochs.push(logs!.lr),
      });
      const callback = new LayerSamplingCallback({gamma: 4});
      const x = tf.ones([4, 3]);
      const y = tf.ones([4, 1]);
      const {history} = await model.fit(x, y, {
        batchSize: 1,
        epochs: 2,
        verbose: 0,
        callbacks: [look(), callback, look(), atEpochs] as tfl.Callback[],
      });
      const expected = isOurs ? rates : [0.5, 0.5, 0.5, 0.5];
      const epochMeans = [expected[1], expected[3]];
      for (const [i, value] of seen.entries()) {
        expect(value).to.be.closeTo(expected[Math.floor(i / 4)]!, 1e-12);
      }
      expect(seen).to.have.length(16);
      for (const list of [epochs, history.lr!]) {
        list.forEach((value, i) => expect(value).to.be.closeTo(epochMeans[i]!, 1e-12));
        expect(list).to.have.length(2);
      }
      tf.dispose([x, y]);
      optimizer.dispose();
      model.dispose();
    }
  });

  it('leaves the logs alone where the optimizer has no learning rate that can be read', async () => {
    class Rateless extends tf.Optimizer {
      static readonly className = 'Rateless';
      override applyGradients(): void {
        /* moves nothing */
      }
      override getConfig(): tf.serialization.ConfigDict {
        return {};
      }
    }
    const model = createModel(new Rateless());
    const seen: Array<tfl.Logs | undefined> = [];
    const look = new tfl.CustomCallback({onBatchEnd: (_, logs) => void seen.push(logs)});
    const x = tf.ones([4, 3]);
    const y = tf.ones([4, 1]);
    const callbacks = [new LayerSamplingCallback({gamma: 4}), look] as tfl.Callback[];
    const {history} = await model.fit(x, y, {batchSize: 1, verbose: 0, callbacks});
    expect(seen).to.have.length(4);
    for (const logs of seen) expect(logs).not.to.have.property('lr');
    expect(history).not.to.have.property('lr');
    tf.dispose([x, y]);
    model.dispose();
  });

  it('lets the page draw while it trains, as a fit without callbacks does', async () => {
    const model = createModel();
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const slow = new tfl.CustomCallback(
      {
        onBatchEnd: () => {
          const end = Date.now() + 50;
          while (Date.now() < end);
        },
      },
      'never',
    );
    await fit(model, [new LayerSamplingCallback({gamma: 4}), slow], 12);
    clearInterval(timer);
    expect(turns).to.be.at.least(2);
    model.dispose();
  });

  it('counts optimizer steps, not batches, when gradients are accumulated', async () => {
    const optimizer = new OwLoreOptimizer({accumulate: 3, project: false});
    const model = createModel(optimizer);
    const callback = new LayerSamplingCallback({gamma: 2, interval: 2});
    await fit(model, [callback], 12);
    expect(callback.blockHistory.periods).to.have.length(2);
    expect(optimizer.iterations).to.equal(4);
    optimizer.dispose();
    model.dispose();
  });

  it('in the middle of a period, makes an open step first that has gradients of what is off now', async () => {
    const [x, y] = [tf.ones([1, 3]), tf.ones([1, 1])];
    const optimizer = new OwLoreOptimizer({accumulate: 2});
    const model = createModel(optimizer);
    const callback = new LayerSamplingCallback({gamma: 1, interval: 10});
    const counts = (): number[] => [optimizer.iterations, optimizer.accumulated];
    const batch = async (): Promise<void> => {
      await model.trainOnBatch(x, y);
    };
    callback.attach(model);
    for (let i = 0; i < 3; i++) {
      callback.step();
      await batch();
    }
    // what waits is of the blocks that are on
    callback.step();
    expect(counts()).to.deep.equal([1, 1]);
    // without the callback, all blocks have trained
    callback.restore();
    for (let i = 0; i < 2; i++) await batch();
    expect(counts()).to.deep.equal([2, 1]);
    callback.attach(model);
    callback.step();
    expect(counts()).to.deep.equal([3, 0]);
    // the user freezes the block that is on
    await batch();
    model.getLayer(callback.activeBlocks[0]!).trainable = false;
    callback.step();
    expect(counts()).to.deep.equal([4, 0]);
    callback.restore();
    optimizer.dispose();
    model.dispose();
    tf.dispose([x, y]);
  });

  it('steps in a loop of one’s own', async () => {
    const model = createModel();
    const callback = new LayerSamplingCallback({gamma: 1, interval: 1});
    expect(() => callback.step()).to.throw(
      /has no model, or .*; call attach\(model, optimizer\) before step\(\)/,
    );
    callback.attach(model);
    const [x, y] = [tf.ones([2, 3]), tf.ones([2, 1])];
    for (let i = 0; i < 3; i++) {
      callback.step();
      const kernels = (): Promise<string[]> =>
        Promise.all(model.layers.map(async (layer) => String(await layer.getWeights()[0]!.data())));
      const before = await kernels();
      await model.trainOnBatch(x, y);
      const after = await kernels();
      const moved = model.layers.filter((_, at) => after[at] !== before[at]);
      expect(moved.map(({name}) => name)).to.deep.equal([...callback.activeBlocks, 'head']);
    }
    callback.restore();
    expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
    tf.dispose([x, y]);
    model.dispose();
  });

  it('takes scores and probabilities by name, in any order', async () => {
    const model = createModel();
    const scores = {blocks: ['b3', 'b2', 'b1', 'b0'], scores: [0.1, 0.2, 0.3, 0.4]};
    const callback = new LayerSamplingCallback({scores, gamma: 1, interval: 1});
    await fit(model, [callback]);
    callback.probabilities!.probabilities.forEach((p, i) =>
      expect(p).to.be.closeTo([0.4, 0.3, 0.2, 0.1][i]!, 1e-12),
    );
    const given = new LayerSamplingCallback({
      probabilities: [1, 0, 0, 1],
      sampler: 'choice',
      interval: 1,
    });
    await fit(model, [given]);
    for (const period of given.blockHistory.periods) expect(period).to.deep.equal(['b0', 'b3']);
    const decreasing = new LayerSamplingCallback({scores: 'decreasing', gamma: 1, interval: 1});
    await fit(model, [decreasing]);
    decreasing.probabilities!.probabilities.forEach((p, i) =>
      expect(p).to.be.closeTo((4 - i) / 10, 1e-12),
    );
    model.dispose();
  });

  it('keeps on what alwaysOn picks, and only that', async () => {
    const model = createModel();
    const cases: Array<[LayerSamplingOptions['alwaysOn'], string[]]> = [
      ['auto', ['b1', 'head']],
      [false, ['b1']],
      [['b0'], ['b0', 'b1']],
      [/^(b3|head)/, ['b1', 'b3', 'head']],
      [({shape}) => shape.length === 1, ['b0.bias', 'b1', 'b2.bias', 'b3.bias', 'head.bias']],
    ];
    for (const [alwaysOn, expected] of cases) {
      const callback = new LayerSamplingCallback({probabilities: [0, 1, 0, 0], alwaysOn});
      callback.setModel(model);
      callback.step();
      const on = model.layers.flatMap(({name, weights}) => {
        const [kernel, bias] = weights.sort((a, b) => b.shape.length - a.shape.length).map(isOn);
        if (kernel) return [name];
        return bias ? [`${name}.bias`] : [];
      });
      expect(on).to.deep.equal(expected);
      callback.restore();
    }
    model.dispose();
  });

  describe('bad input', () => {
    /** Expects `fit` to fail with `message`, no weight to have moved and every flag to be as it was. */
    async function expectError(
      model: tfl.LayersModel,
      callbacks: unknown,
      message: RegExp,
    ): Promise<void> {
      const [flags, weights] = [trainable(model), await snapshot(model)];
      expect(await errorOf(fit(model, callbacks))).to.match(message);
      expect(trainable(model)).to.deep.equal(flags);
      expect(await snapshot(model)).to.deep.equal(weights);
      model.dispose();
    }

    it('more blocks wanted than there are', () =>
      expectError(
        createModel(),
        [new LayerSamplingCallback({gamma: 5})],
        /gamma must be <= 4, the number of blocks of the model: b0, b1, b2, b3; got 5/,
      ));

    it('scores of other blocks, or of another number', async () => {
      const scores = {blocks: ['b0', 'b1', 'b2', 'other'], scores: [1, 1, 1, 1]};
      await expectError(
        createModel(),
        [new LayerSamplingCallback({scores, gamma: 1})],
        /scores have no block 'b3'; they are for b0, b1, b2, other, the model has b0, b1, b2, b3/,
      );
      await expectError(
        createModel(),
        [new LayerSamplingCallback({scores: [1, 2], gamma: 1})],
        /scores are for 2 blocks, the model has 4/,
      );
      await expectError(
        createModel(),
        [new LayerSamplingCallback({probabilities: [1, 0.5]})],
        /probabilities are for 2 blocks, the model has 4/,
      );
      await expectError(
        createModel(),
        [new LayerSamplingCallback({probabilities: [2, 0, 0, 0]})],
        /probabilities must be numbers >= 0 and <= 1, not all 0; got \[2, 0, 0, 0\]/,
      );
    });

    it('scores that are all 0', () =>
      expectError(
        createModel(),
        [new LayerSamplingCallback({scores: [0, 0, 0, 0], gamma: 1})],
        /every score is 0.*smaller tau, or with tau: 'auto'/,
      ));

    it('a block that is never trained: a warning', async () => {
      const model = createModel();
      expectWarning(/blocks with score 0 .* will never be trained unless floor > 0: b2/);
      await fit(model, [new LayerSamplingCallback({scores: [1, 1, 0, 1], gamma: 1, interval: 1})]);
      model.dispose();
    });

    it('too few steps to visit the blocks: a warning, not again with every fit', async () => {
      const model = createModel();
      expectWarning(
        /at most 1 of 4 blocks can be trained in so few steps \(8, with other blocks every 8\)/,
      );
      const callback = new LayerSamplingCallback({gamma: 1, interval: 8});
      for (let i = 0; i < 3; i++) await fit(model, [callback]);
      model.dispose();
    });

    it('too few periods of one step: the warning names what helps', async () => {
      const model = createModel();
      expectWarning(
        /at most 3 of 4 blocks .* \(3, with other blocks every 1\); use more steps or a larger gamma$/,
      );
      await fit(model, [new LayerSamplingCallback({gamma: 1, interval: 1})], 3);
      expectWarning(/\(3, with other blocks every 2\); use a smaller interval or more steps$/);
      await fit(model, [new LayerSamplingCallback({gamma: 1, interval: 2})], 3);
      await fit(model, [new LayerSamplingCallback({gamma: 1, interval: 1})], 4);
      model.dispose();
    });

    it('enough steps for the blocks that are not frozen: no warning', async () => {
      const model = createModel(null);
      model.getLayer('b3').trainable = false;
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      const probabilities = [0.5, 0.5, 0.5, 0.1];
      await fit(model, [new LayerSamplingCallback({probabilities, interval: 4})]);
      model.dispose();
    });

    it('just enough steps, by probabilities that add up to a little less than 1: no warning', async () => {
      const model = createModel();
      const probabilities = [0.1, 0.7, 0.1, 0.1];
      expect(probabilities.reduce((sum, p) => sum + p)).to.be.below(1);
      await fit(model, [new LayerSamplingCallback({probabilities, interval: 2})]);
      model.dispose();
    });

    it('no blocks found, where some are needed', async () => {
      for (const options of [
        {blocks: /other/},
        {scores: [1]},
        {probabilities: [1]},
        {alwaysOn: false},
        {blockHistory: {blocks: ['b0'], interval: 1, periods: [['b0']]}},
      ] as LayerSamplingOptions[]) {
        const model = tfl.sequential({
          layers: [tfl.layers.dense({units: 1, inputShape: [3]})],
        });
        model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
        await expectError(
          model,
          [new LayerSamplingCallback(options)],
          /found no blocks .* pass blocks: an array of layer names/,
        );
      }
    });

    it('is named by attach, in place of the first step, also in a loop that was not ended', () => {
      const model = createModel();
      const wrong = new LayerSamplingCallback({gamma: 5});
      expect(() => wrong.attach(model)).to.throw(/gamma must be <= 4/);
      const callback = new LayerSamplingCallback({gamma: 1, interval: 5});
      callback.attach(model);
      callback.step();
      expect(trainable(model)).to.include(false);
      callback.attach(model);
      expect(trainable(model), 'nothing is frozen before the next step').not.to.include(false);
      callback.step();
      expect(trainable(model)).to.include(false);
      callback.restore();
      for (const layer of model.layers) layer.trainable = false;
      expect(() => callback.attach(model), 'it may be unfrozen for its steps').not.to.throw();
      expect(() => callback.step()).to.throw(/no weight of the model is trainable/);
      model.dispose();
    });

    it('a model that is not compiled', () => {
      const model = createModel(null);
      const callback = new LayerSamplingCallback({gamma: 1});
      callback.setModel(model);
      expect(() => callback.step()).to.throw(
        /the model has no optimizer; call model.compile\({optimizer, loss}\) before training, or attach\(/,
      );
      model.dispose();
    });

    const asPlainObject = /calls this callback as a plain object .* \[callback, {onEpochEnd/;

    it('a copy of its properties, whatever else has a part in it', async () => {
      const others = {onTrainBegin: () => undefined, onBatchBegin: () => undefined};
      class Derived extends LayerSamplingCallback {
        override async onTrainBegin(): Promise<void> {
          await super.onTrainBegin();
        }
      }
      for (const callback of [new LayerSamplingCallback({gamma: 1}), new Derived({gamma: 1})]) {
        // As {...callback, ...others} does, which the linter knows to lose methods.
        const copies = [[callback], [others, callback], [callback, others]].map(
          (parts) => Object.assign({}, ...parts) as object,
        );
        for (const copy of copies) await expectError(createModel(), copy, asPlainObject);
      }
    });

    it('a model of another copy of tfjs-layers', async () => {
      expectWarning(/Platform node has already been set/);
      const fromAnotherCopy = /comes from another copy of @tensorflow\/tfjs-layers .*'externals'/;
      const {tf: otherTf, tfl: otherLayers} = await bundleAnotherTfjs();
      for (const wrap of [
        (callback: unknown) => callback,
        (callback: unknown) => [callback],
        (callback: unknown) => [new otherLayers.CustomCallback({}), callback],
        (callback: unknown) => [{onEpochEnd: () => undefined}, callback],
      ]) {
        const model = otherLayers.sequential();
        // Copies share their engine, but each counts by itself for the names of its layers.
        model.add(otherLayers.layers.dense({name: 'ofAnotherCopy', units: 1, inputShape: [3]}));
        model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
        const callback = new LayerSamplingCallback({gamma: 1});
        const [x, y] = [otherTf.ones([2, 3]), otherTf.ones([2, 1])];
        const callbacks = wrap(callback) as tfl.Callback[];
        const training = model.fit(x, y, {verbose: 0, callbacks});
        expect(await errorOf(training)).to.match(fromAnotherCopy);
        expect(() => callback.attach(model)).to.throw(fromAnotherCopy);
        otherTf.dispose([x, y]);
        model.dispose();
      }
    });

    it('two callbacks at once', () =>
      expectError(
        createModel(),
        [new LayerSamplingCallback({gamma: 4}), new LayerSamplingCallback({gamma: 4})],
        /another LayerSamplingCallback is at work on this model/,
      ));

    it('a model of which all is frozen', () => {
      const model = createModel(null);
      for (const layer of model.layers) layer.trainable = false;
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      return expectError(
        model,
        [new LayerSamplingCallback({gamma: 1})],
        /no weight of the model is trainable: .* set layer.trainable = true/,
      );
    });

    it('a period that could be without anything to train', async () => {
      await expectError(
        createModel(),
        [new LayerSamplingCallback({gamma: 2, sampler: 'bernoulli', alwaysOn: false})],
        /with sampler 'bernoulli' and gamma 2 a period can be without any block/,
      );
      const blockHistory = {blocks, interval: 1, periods: [['b0'], ['b1'], []]};
      await expectError(
        createModel(),
        [new LayerSamplingCallback({blockHistory, alwaysOn: false})],
        /period 2 of the blockHistory has no block that can train \(\[\]\), .* keep something on/,
      );
      const fromStart = {...blockHistory, periods: [[], ['b0']]};
      await expectError(
        createModel(),
        [new LayerSamplingCallback({blockHistory: fromStart, alwaysOn: false})],
        /period 0 of the blockHistory has no block that can train \(\[\]\)/,
      );
      const frozenModel = createModel(null);
      frozenModel.getLayer('b1').trainable = false;
      frozenModel.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      await expectError(
        frozenModel,
        [new LayerSamplingCallback({blockHistory, alwaysOn: false})],
        /period 1 of the blockHistory has no block that can train \(\[b1\]\), .* unfreeze one/,
      );
      const model = createModel(null);
      model.getLayer('b1').trainable = false;
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      await expectError(
        model,
        [new LayerSamplingCallback({probabilities: [0, 1, 0, 0], alwaysOn: false, interval: 8})],
        /not all 0 for the blocks that can train \(b0, b2, b3\); got \[0, 1, 0, 0\]/,
      );
    });

    it('not where every block is on', async () => {
      const model = createModel();
      const callback = new LayerSamplingCallback({
        ...{gamma: 4, interval: 1, sampler: 'bernoulli', alwaysOn: false},
      });
      await fit(model, [callback], 3);
      expect(callback.blockHistory.periods).to.deep.equal([blocks, blocks, blocks]);
      model.dispose();
    });

    it('not a block history whose period without anything to train is over', async () => {
      const model = createModel();
      const blockHistory = {blocks, interval: 2, periods: [['b1'], ['b1', 'b2'], ['b0'], ['b3']]};
      const callback = new LayerSamplingCallback({blockHistory, alwaysOn: false});
      await fit(model, [callback], 2);
      model.getLayer('b1').trainable = false;
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      await fit(model, [callback], 6);
      expect(callback.blockHistory.periods).to.deep.equal([['b1'], ['b2'], ['b0'], ['b3']]);
      model.dispose();
    });

    it('nor one whose period without anything to train was over at initialStep', async () => {
      const blockHistory = {blocks, interval: 2, periods: [[], ['b1'], ['b0']]};
      const options = {blockHistory, alwaysOn: false as const};
      const model = createModel();
      const callback = new LayerSamplingCallback({...options, initialStep: 2});
      await fit(model, [callback], 4);
      expect(callback.blockHistory.periods).to.deep.equal(blockHistory.periods);
      model.dispose();
      // it was in the middle of that period
      await expectError(
        createModel(),
        [new LayerSamplingCallback({...options, initialStep: 1})],
        /period 0 of the blockHistory has no block that can train/,
      );
    });

    it('a block history of other blocks', () =>
      expectError(
        createModel(),
        [
          new LayerSamplingCallback({
            blockHistory: {blocks: ['b0', 'x'], interval: 9, periods: [['x']]},
          }),
        ],
        /blockHistory is for the blocks b0, x, the model has b0, b1, b2, b3/,
      ));

    it('an optimizer of another copy of tfjs-core', async () => {
      expectWarning(/Platform node has already been set/);
      const other = loadAnotherCore();
      const model = createModel(other.train.sgd(0.1));
      await expectError(
        model,
        [new LayerSamplingCallback({gamma: 4})],
        /optimizer \(SGD\) comes from another copy of @tensorflow\/tfjs-core .* npm dedupe/,
      );
    });

    it('a gradient that is NaN, in the middle of fit', async () => {
      const optimizer = new OwLoreOptimizer({project: false, learningRate: 0});
      const model = createModel(optimizer);
      let calls = 0;
      model.compile({
        optimizer,
        loss: (y, prediction) => tf.mul(tf.mean(tf.sub(y, prediction)), ++calls < 3 ? 1 : NaN),
      });
      await expectError(
        model,
        [new LayerSamplingCallback({gamma: 1, interval: 2})],
        /the gradient of '.*' is NaN/,
      );
      optimizer.dispose();
    });
  });

  it('takes over from a loop of one’s own that was left without restore()', async () => {
    const model = createModel();
    const left = new LayerSamplingCallback({gamma: 1, interval: 1});
    left.setModel(model);
    left.step();
    expect(trainable(model)).to.include(false);
    await fit(model, [new LayerSamplingCallback({gamma: 4, interval: 1})]);
    expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
    model.dispose();
  });

  it('does not take over from a loop that has ended, which can go on', () => {
    const model = createModel();
    const [ended, next] = [0, 1].map(() => new LayerSamplingCallback({gamma: 1, interval: 1}));
    for (const callback of [ended!, next!]) {
      callback.attach(model);
      callback.step();
      callback.restore();
    }
    ended!.step();
    expect(ended!.steps).to.equal(2);
    ended!.restore();
    expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
    model.dispose();
  });

  it('says when it comes back to a model after another one', async () => {
    const [first, second] = [createModel(), createModel()];
    const callback = new LayerSamplingCallback({gamma: 1, interval: 1});
    await fit(first, [callback]);
    await fit(second, [callback]);
    expectWarning(/has trained another model since, and starts anew; .* need a callback ea/);
    await fit(first, [callback]);
    expect(callback.blockHistory.periods).to.have.length(8);
    for (const model of [first, second]) model.dispose();
  });

  it('takes over from such a loop in a loop, too; two loops at once are an error', () => {
    const model = createModel();
    const [left, next] = [0, 1].map(() => new LayerSamplingCallback({gamma: 1, interval: 1}));
    left!.attach(model);
    left!.step();
    next!.attach(model);
    next!.step();
    expect(trainable(model)).to.include(false);
    expect(() => left!.step()).to.throw(/another callback took it over; call attach\(/);
    left!.attach(model);
    left!.step();
    expect(() => next!.step()).to.throw(/another callback took it over; call attach\(/);
    left!.restore();
    expect(trainable(model)).to.deep.equal(new Array(10).fill(true));
    model.dispose();
  });
});

/** tfjs once more, core and layers in one file, as a bundler makes it for a page that has it by a script tag, too. */
async function bundleAnotherTfjs(): Promise<{tf: typeof tf; tfl: typeof tfl}> {
  const folder = await mkdtemp(join(tmpdir(), 'owlore-'));
  const outfile = join(folder, 'tfjs.cjs');
  try {
    await build({
      stdin: {
        contents:
          "import '@tensorflow/tfjs-backend-cpu';" +
          "export * as tf from '@tensorflow/tfjs-core';" +
          "export * as tfl from '@tensorflow/tfjs-layers';",
        resolveDir: import.meta.dirname,
      },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      logLevel: 'error',
      outfile,
    });
    return createRequire(import.meta.url)(outfile) as {tf: typeof tf; tfl: typeof tfl};
  } finally {
    await rm(folder, {recursive: true});
  }
}

/** A second copy of tfjs-core, as a page or a badly deduplicated node_modules has it. */
function loadAnotherCore(): typeof tf {
  const require = createRequire(import.meta.url);
  const path = require.resolve('@tensorflow/tfjs-core');
  const cached = require.cache[path];
  require.cache[path] = undefined;
  try {
    return require('@tensorflow/tfjs-core') as typeof tf;
  } finally {
    require.cache[path] = cached;
  }
}
