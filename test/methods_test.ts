import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer, paperMethod} from '../src/index';
import type {PaperMethodName, PaperMethodOptions} from '../src/index';
import {applyLora} from '../src/lora';
import {paperMethodNames} from '../src/methods';
import {rejection} from './support/rejection';
import {expectWarning} from './support/warnings';

/*
 * Each method is what its authors say: which blocks are on in each period, and how they are updated, beside an optimizer and a
 * callback that are made by hand; then overrides, the fitted γ, and errors.
 */

const blocks = ['b0', 'b1', 'b2', 'b3', 'b4', 'b5'];
const scores = [0.1, 0.2, 0.3, 0.2, 0.1, 0.1];

/** Equal hidden layers of 6 units, which are the blocks, and a head; all copies start with the same weights. */
function createModel(names: readonly string[] = blocks): tfl.Sequential {
  const kernel = (seed: number) => tfl.initializers.glorotNormal({seed});
  return tfl.sequential({
    layers: [
      ...names.map((name, i) =>
        tfl.layers.dense({
          ...{name, units: 6, activation: 'tanh', kernelInitializer: kernel(i + 1)},
          ...(i === 0 && {inputShape: [6]}),
        }),
      ),
      tfl.layers.dense({name: 'head', units: 1, kernelInitializer: kernel(9)}),
    ],
  });
}

/** Runs `body` and gives back the lines it prints by `console.info`. */
async function infoLines(body: () => Promise<unknown>): Promise<string[]> {
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

const base = {rank: 2, learningRate: 0.01, interval: 2, seed: 3};
const owlore = {rank: 2, learningRate: 0.01};
const periods = {interval: 2, seed: 3};

/** Every method with what one would write for it by hand. */
const byHand: Record<
  PaperMethodName,
  {overrides: PaperMethodOptions; parts: [OwLoreOptimizer, LayerSamplingCallback | null]}
> = {
  owlore: {
    overrides: {...base, scores},
    parts: [new OwLoreOptimizer(owlore), new LayerSamplingCallback({...periods, scores, gamma: 5})],
  },
  'owlore-full': {
    overrides: {...base, scores},
    parts: [
      new OwLoreOptimizer({...owlore, project: false}),
      new LayerSamplingCallback({...periods, scores, gamma: 2}),
    ],
  },
  lisa: {
    overrides: base,
    parts: [
      new OwLoreOptimizer({...owlore, project: false}),
      new LayerSamplingCallback({...periods, gamma: 2}),
    ],
  },
  'lisa-d': {
    overrides: base,
    parts: [
      new OwLoreOptimizer({...owlore, project: false}),
      new LayerSamplingCallback({...periods, scores: 'decreasing', gamma: 2}),
    ],
  },
  galore: {overrides: owlore, parts: [new OwLoreOptimizer(owlore), null]},
  badam: {
    overrides: base,
    parts: [
      new OwLoreOptimizer({...owlore, project: false}),
      new LayerSamplingCallback({
        ...{...periods, sampler: 'permutation', gamma: 1, alwaysOn: false},
      }),
    ],
  },
  // its adapters, whose the rank is, are tested below
  lora: {
    overrides: {learningRate: 0.01, rank: 2},
    parts: [new OwLoreOptimizer({learningRate: 0.01, project: false}), null],
  },
  full: {overrides: owlore, parts: [new OwLoreOptimizer({...owlore, project: false}), null]},
};

describe('paperMethod', () => {
  /** Trains for 12 steps; returns the weights, and which blocks were on. */
  async function train(
    model: tfl.LayersModel,
    optimizer: OwLoreOptimizer,
    callback: LayerSamplingCallback | null,
  ): Promise<{weights: number[][]; periods: string[][] | undefined}> {
    const [x, y] = [tf.randomNormal([24, 6], 0, 1, 'float32', 1), tf.ones([24, 1])];
    model.compile({optimizer, loss: 'meanSquaredError'});
    const callbacks = callback ? [callback] : [];
    await infoLines(() => model.fit(x, y, {batchSize: 2, shuffle: false, verbose: 0, callbacks}));
    const weights = await Promise.all(
      model.getWeights().map(async (weight) => [...(await weight.data())]),
    );
    tf.dispose([x, y]);
    return {weights, periods: callback?.blockHistory.periods};
  }

  for (const name of paperMethodNames) {
    it(`${name} trains as the optimizer and the callback made by hand`, async () => {
      const {overrides, parts} = byHand[name];
      const [model, other] = [createModel(), createModel()];
      const before = tf.memory().numTensors;
      const {optimizer, callback, lora} = paperMethod(name, model, overrides);
      if (name === 'lora') {
        const {rank} = overrides;
        expect(lora!.options).to.deep.include({rank, alpha: 8, dropout: 0, targets: 'all-linear'});
        applyLora(other, {rank: 2});
      } else {
        expect(lora).to.equal(null);
        expect(tf.memory().numTensors, 'nothing but two objects was made').to.equal(before);
      }
      const [expectedOptimizer, expectedCallback] = parts;
      expect(optimizer.getConfig()).to.deep.equal(expectedOptimizer.getConfig());
      expect(callback?.settings).to.deep.equal(expectedCallback?.settings);
      const ours = await train(model, optimizer, callback);
      const theirs = await train(other, ...parts);
      expect(ours).to.deep.equal(theirs);
      for (const each of [model, other, optimizer, parts[0]]) each.dispose();
    });
  }

  it('an override takes the place of what the method has', async () => {
    const model = createModel();
    const {optimizer, callback} = paperMethod('lisa', model, {
      ...{...base, project: ['b0'], gamma: 3, scores, sampler: 'bernoulli', learningRate: 0.5},
    });
    expect(optimizer.getConfig()).to.deep.include({project: ['b0'], learningRate: 0.5});
    await train(model, optimizer, callback);
    expect(callback!.probabilities!.gamma).to.equal(3);
    expect(callback!.probabilities!.probabilities[2]).to.be.closeTo(0.9, 1e-12);
    optimizer.dispose();
    model.dispose();
  });

  it('probabilities, or a block history, stand in the place of scores', async () => {
    const blockHistory = {blocks, interval: 6, periods: [['b0'], ['b5']]};
    for (const name of ['owlore', 'lisa'] as const) {
      for (const given of [{probabilities: [1, 0, 0, 0, 0, 0]}, {blockHistory}]) {
        const model = createModel();
        const {optimizer, callback} = paperMethod(name, model, {...base, ...given});
        const {periods: on} = await train(model, optimizer, callback);
        const first = new Set(on!.slice(0, 1).flat());
        expect([...first]).to.deep.equal(['b0']);
        optimizer.dispose();
        model.dispose();
      }
    }
  });

  it('γ of its authors is fitted to the blocks that can be drawn, which one line says', async () => {
    const gammaOf = async (
      name: PaperMethodName,
      overrides: PaperMethodOptions,
      names = blocks,
      frozen: readonly string[] = [],
    ): Promise<[number, string[]]> => {
      const model = createModel(names);
      for (const block of frozen) model.getLayer(block).trainable = false;
      let made!: ReturnType<typeof paperMethod>;
      const lines = await infoLines(async () => {
        made = paperMethod(name, model, {interval: 1, ...overrides});
      });
      await train(model, made.optimizer, made.callback);
      made.optimizer.dispose();
      model.dispose();
      return [made.callback!.probabilities!.gamma, lines];
    };
    expect(await gammaOf('owlore', {scores})).to.deep.equal([5, []]);
    expect(await gammaOf('lisa', {}, blocks.slice(0, 2))).to.deep.equal([
      1,
      ['paperMethod: gamma 2 → 1: 2 of 2 blocks can be drawn'],
    ]);
    expect(await gammaOf('owlore', {scores}, blocks, ['b0', 'b1'])).to.deep.equal([
      3,
      ['paperMethod: gamma 5 → 3: 4 of 6 blocks can be drawn'],
    ]);
    // scores above 0 count only where the block can train
    expectWarning(/blocks with score 0 have probability 0 .*: b4, b5/);
    expect(
      await gammaOf('owlore', {scores: [1, 1, 1, 1, 0, 0]}, blocks, ['b0', 'b1']),
    ).to.deep.equal([2, ['paperMethod: gamma 5 → 2: 2 of 6 blocks can be drawn']]);
    expect(await gammaOf('owlore', {sampler: 'permutation'})).to.deep.equal([5, []]);
    const few = [0, 1, 0, 1, 0, 0];
    const floored = await gammaOf('owlore', {scores: few, floor: 0.5});
    expect(floored[0]).to.equal(5);
    expect(await gammaOf('lisa', {gamma: 1})).to.deep.equal([1, []]);
  });

  describe('bad input', () => {
    let model: tfl.LayersModel;
    beforeEach(() => void (model = createModel()));
    afterEach(() => model.dispose());

    const wrong: Array<[string, PaperMethodName, object, RegExp]> = [
      ['no scores', 'owlore', {}, /'owlore' draws the blocks by their scores, which are missing/],
      ['an option that does not exist', 'lisa', {gama: 1}, /unknown option 'gama'; did you mean/],
      ['a value out of its range', 'lisa', {gamma: -1}, /gamma must be a number > 0; got -1/],
      ['an option without a callback', 'galore', {gamma: 2}, /gamma has no meaning with 'galore'/],
      [
        'an option of LoRA',
        'full',
        {alpha: 2},
        /alpha has no meaning with 'full', but with 'lora'/,
      ],
      ['of LoRA, out of its range', 'lora', {dropout: 2}, /dropout must be .*; got 2/],
      ['another method of sampling', 'lora', {gamma: 2}, /gamma has no meaning with 'lora'/],
      ['the same', 'full', {interval: 2}, /interval has no meaning with 'full'/],
    ];
    for (const [title, name, overrides, message] of wrong) {
      it(`${title}: ${name}`, () => {
        expect(() => paperMethod(name, model, overrides)).to.throw(message);
      });
    }

    it('a method that does not exist', () => {
      expect(() => paperMethod('olora' as 'full', model)).to.throw(
        /paperMethod: name must be one of 'owlore', .*; got 'olora'/,
      );
    });

    it('scores that are all 0, when training begins', async () => {
      const {optimizer, callback} = paperMethod('owlore', model, {scores: blocks.map(() => 0)});
      const error = await rejection(train(model, optimizer, callback));
      expect(error.message).to.match(/every score is 0.*smaller tau/);
      optimizer.dispose();
    });
  });
});
