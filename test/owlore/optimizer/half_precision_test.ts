import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer} from '../../../src/index';
import {describeBackends} from '../../support/backends';
import {rejection} from '../../support/rejection';
import {describeStandIn} from '../../support/stand_in';
import {captureInfo} from '../../support/warnings';

/*
 * webgl on a device whose textures hold float16, as some phones have it: chromium is told to be one. The smallest number there is
 * 6e-8, and the default ε of 1e-8 is 0.
 */
describeBackends('float16', (backend) => {
  if (backend !== 'webgl') return;

  it('is what tfjs takes every webgl for that has float32: its check is the wrong way round', () => {
    expect(tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED')).to.equal(true);
    expect(tf.backend().floatPrecision()).to.equal(16);
    expect(tf.backend().epsilon()).to.equal(1e-4);
  });

  describe('on a device that has nothing else', () => {
    const renew = async (isHalf: boolean): Promise<void> => {
      const create = tf.findBackendFactory('webgl');
      tf.removeBackend('webgl');
      tf.env().set('WEBGL_RENDER_FLOAT32_ENABLED', !isHalf);
      tf.env().set('WEBGL_FORCE_F16_TEXTURES', isHalf);
      tf.registerBackend('webgl', create);
      await tf.setBackend('webgl');
    };
    before(() => renew(true));
    after(() => renew(false));

    const train = async (optimizer: tf.Optimizer): Promise<number[]> => {
      const seeded = (seed: number) => ({
        kernelInitializer: tfl.initializers.glorotUniform({seed}),
      });
      const model = tfl.sequential({
        layers: [
          tfl.layers.dense({units: 12, activation: 'tanh', inputShape: [6], ...seeded(1)}),
          tfl.layers.dense({units: 12, activation: 'tanh', ...seeded(2)}),
          tfl.layers.dense({units: 1, ...seeded(3)}),
        ],
      });
      model.compile({optimizer, loss: 'meanSquaredError'});
      const x = tf.randomUniform([32, 6], -1, 1, 'float32', 4);
      const y = tf.tidy(() => tf.sum(tf.square(x), 1, true));
      const losses: number[] = [];
      for (let i = 0; i < 30; i++) losses.push((await model.trainOnBatch(x, y)) as number);
      optimizer.dispose();
      model.dispose();
      tf.dispose([x, y]);
      return losses;
    };

    it('is what the backend computes with here', async () => {
      // Enough numbers for webgl not to leave them to the processor.
      const tiny = tf.tidy(() => tf.square(tf.fill([256, 256], 1e-4)));
      expect((await tiny.data())[0]).to.equal(0);
      tiny.dispose();
    });

    it('trains as far as tf.train.adam, whose epsilon it takes', async () => {
      const adam = await train(tf.train.adam(0.01));
      const losses = await train(new OwLoreOptimizer({learningRate: 0.01}));
      expect(losses[0]).to.equal(adam[0]);
      expect(adam.at(-1)).to.be.lessThan(0.5 * adam[0]!);
      // Three digits a number, over thirty steps.
      expect(losses.at(-1)).to.be.lessThan(adam.at(-1)! + 0.05 * adam[0]!);
    });

    it('trains in subspaces', async () => {
      const losses = await train(
        new OwLoreOptimizer({learningRate: 0.01, rank: 3, refreshInterval: 10}),
      );
      expect(losses.at(-1)).to.be.lessThan(0.7 * losses[0]!);
    });

    it('leaves weights without a gradient alone, projected or not', async () => {
      for (const project of ['auto', false] as const) {
        const weight = tf.tidy(() => tf.variable(tf.ones([6, 6])));
        const optimizer = new OwLoreOptimizer({project, rank: 2});
        for (let i = 0; i < 3; i++) optimizer.minimize(() => tf.sum(tf.mul(weight, 0)));
        await optimizer.settled();
        expect([...(await weight.data())]).to.deep.equal(Array.from({length: 36}, () => 1));
        optimizer.dispose();
        weight.dispose();
      }
    });
  });
});

/*
 * What follows from the name and the flag alone. Numbers are float32 here.
 */
describeStandIn('webgl', 'float16', () => {
  const flag = 'WEBGL_RENDER_FLOAT32_ENABLED';
  before(() => {
    if (!(flag in tf.env().getFlags())) tf.env().registerFlag(flag, () => true);
    tf.env().set(flag, false);
  });
  after(() => tf.env().set(flag, true));

  /** How far a first step by a gradient of 1e-4 goes, and what it says. */
  async function moved(epsilon?: number): Promise<{result: number; lines: string[]}> {
    return captureInfo(async () => {
      const weight = tf.tidy(() => tf.variable(tf.zeros([1]), true, 'half'));
      const optimizer = new OwLoreOptimizer({learningRate: 1, epsilon});
      for (let step = 0; step < 2; step++)
        tf.tidy(() => optimizer.applyGradients({half: tf.fill([1], 1e-4)}));
      await optimizer.settled();
      const [value] = await weight.data();
      optimizer.dispose();
      weight.dispose();
      return value!;
    });
  }

  it('has an epsilon of 1e-4 in the place of a smaller one, and says so once', async () => {
    const first = await moved();
    // 1e-4/(1e-4 + epsilon), twice
    expect(first.result).to.be.closeTo(-1, 1e-4);
    expect(first.lines).to.deep.equal([
      'OwLoreOptimizer: webgl has only float16 on this device, where epsilon 1e-8 is 0 or nearly 0; 0.0001 is used instead, ' +
        'as by tf.train.adam',
    ]);
    expect((await moved()).lines).to.deep.equal([]);
  });

  it('has a larger epsilon as it is', async () => {
    for (const [epsilon, expected] of [
      [1e-4, -1],
      [3e-4, -0.5],
    ] as const) {
      const {result, lines} = await moved(epsilon);
      expect(result).to.be.closeTo(expected, 1e-4);
      expect(lines).to.deep.equal([]);
    }
  });

  it('has no smaller unit for gradients whose squares overflow: they are infinite', async () => {
    const weight = tf.tidy(() => tf.variable(tf.zeros([2]), true, 'half'));
    for (const options of [{epsilon: 1}, {epsilon: 1, clipNorm: 1}]) {
      const optimizer = new OwLoreOptimizer(options);
      tf.tidy(() => optimizer.applyGradients({half: tf.fill([2], 1e25)}));
      const error = await rejection(optimizer.settled());
      expect(error.message).to.match(/the gradient of 'half' is infinite/);
      optimizer.dispose();
    }
    expect([...(await weight.data())]).to.deep.equal([0, 0]);
    weight.dispose();
  });
});
