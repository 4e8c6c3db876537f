import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer, type OwLoreOptions} from '../src';
import {owloreDefaults} from '../src/owlore/optimizer/options';
import {backends, defaultBackend, describeFastBackends, thorough} from './support/backends';
import {ordinaryModels, seeded, Task, type OrdinaryModel} from '../tools/ordinary_models';

/**
 * The optimizer at its defaults beside `tf.train.adam` of the same rate and epsilon:
 * - the same, to rounding, where no matrix has more than 128 rows and columns: dense, convolutions, depthwise ones, LSTM, a loop
 *   around `minimize`;
 * - at least 97 % of what Adam learns where some are projected. `npm run bench -- defaults` has more models and seeds.
 * And the same results on all backends, projected or not.
 */

const {epsilon} = owloreDefaults;

/**
 * tfjs computes 1 − β₂ᵗ, at first 0.001, in float32: 6e-8 of it are 3e-5/t of the t-th step's length. That is more than all other
 * rounding, and a loss moves by less than the weights do.
 */
const ROUNDING = 3e-5;

/** The least part of what Adam learns that the defaults learn in a short training. */
const MARGIN = 0.97;

function adam(learningRate: number): tf.Optimizer {
  return tf.train.adam(learningRate, 0.9, 0.999, epsilon);
}

/** Without the line about matrices that are not projected, which has tests of its own. */
async function quietly<T>(body: () => Promise<T>): Promise<T> {
  const {info} = console;
  console.info = () => undefined;
  try {
    return await body();
  } finally {
    console.info = info;
  }
}

function named(part: string): OrdinaryModel {
  return ordinaryModels.find(({title}) => title.includes(part))!;
}

describeFastBackends('OwLoreOptimizer at its defaults', function (this: Mocha.Suite, backend) {
  this.timeout(120_000);

  const small: OrdinaryModel[] = [
    named('dense(1) on 20 features'),
    named('dense 50, 50, 1'),
    {...named('CNN with 8 and 16'), batchSize: 2},
    {...named('depthwise'), batchSize: 2},
    {
      ...named('GRU'),
      title: 'LSTM 16',
      build: () =>
        tfl.sequential({
          layers: [
            tfl.layers.lstm({
              units: 16,
              inputShape: [12, 4],
              recurrentInitializer: 'glorotUniform',
            }),
            tfl.layers.dense({units: 1}),
          ],
        }),
    },
  ];
  for (const ordinary of small) {
    it(`is tf.train.adam where no matrix is large: ${ordinary.title}`, async () => {
      const {learningRate} = ordinary;
      const task = new Task({...ordinary, batchSize: Math.min(ordinary.batchSize, 8), steps: 4}, 1);
      const optimizers = [adam(learningRate), new OwLoreOptimizer({learningRate})] as const;
      const [theirs, ours] = await quietly(async () => [
        await task.train(optimizers[0]),
        await task.train(optimizers[1]),
      ]);
      expect(ours.before).to.equal(theirs.before);
      expect(theirs.heldOut).to.be.below(theirs.before);
      for (const loss of ['heldOut', 'training'] as const) {
        expect(ours[loss], loss).to.be.closeTo(theirs[loss], ROUNDING * theirs[loss]);
      }
      for (const optimizer of optimizers) optimizer.dispose();
      task.dispose();
    });
  }

  it('is tf.train.adam in a loop around minimize', async () => {
    const target = tf.randomNormal([20, 8], 0, 1, 'float32', 1);
    const run = async (optimizer: tf.Optimizer): Promise<Float32Array> => {
      const weight = tf.variable(tf.zeros<tf.Rank.R2>([20, 8]));
      await quietly(async () => {
        for (let step = 0; step < 40; step++) {
          optimizer.minimize(() => tf.mean(tf.square(tf.sub(weight, target))), false, [weight]);
        }
      });
      const values = await weight.data<'float32'>();
      tf.dispose(weight);
      optimizer.dispose();
      return values;
    };
    const [theirs, ours] = [
      await run(adam(0.1)),
      await run(new OwLoreOptimizer({learningRate: 0.1})),
    ];
    // Steps of 0.1, so in all 0.1 · 3e-5 · (1 + 1/2 + … + 1/40).
    ours.forEach((value, i) => expect(value).to.be.closeTo(theirs[i]!, 1.3e-5));
    target.dispose();
  });

  it('solves a linear regression of 20 features in 160 steps', async () => {
    const ordinary = named('dense(1) on 20 features');
    const task = new Task(ordinary, 2);
    const optimizer = new OwLoreOptimizer({learningRate: ordinary.learningRate});
    const {before, heldOut} = await quietly(() => task.train(optimizer));
    expect(before).to.be.above(1);
    expect(heldOut).to.be.below(5e-5);
    optimizer.dispose();
    task.dispose();
  });

  // Matrices of this size take seconds a step elsewhere.
  if (backend === 'cpu' || backend === 'webgpu' || !thorough) return;
  for (const [part, steps] of [
    ['autoencoder', 80],
    ['six layers of 256', 60],
  ] as const) {
    const ordinary = {...named(part), steps};
    it(`learns 97 % of what tf.train.adam learns, or more: ${ordinary.title}`, async () => {
      const {learningRate} = ordinary;
      const task = new Task(ordinary, 1);
      const optimizers = [adam(learningRate), new OwLoreOptimizer({learningRate})] as const;
      const [theirs, ours] = await quietly(async () => [
        await task.train(optimizers[0]),
        await task.train(optimizers[1]),
      ]);
      const [reference, learned] = [theirs, ours].map(({before, heldOut}) => before - heldOut);
      expect(reference).to.be.above(theirs.before / 10);
      expect(learned! / reference!).to.be.at.least(MARGIN);
      for (const optimizer of optimizers) optimizer.dispose();
      task.dispose();
    });
  }
});

describe('OwLoreOptimizer on several backends', function () {
  this.timeout(120_000);
  after(() => tf.setBackend(defaultBackend));

  /** Losses of a small dense model, some of whose directions are a hundred times as large as others. */
  const lossesOn = async (backend: string, options: OwLoreOptions): Promise<number[]> => {
    await tf.setBackend(backend);
    await tf.ready();
    const {dense} = tfl.layers;
    const model = seeded(3, () =>
      tfl.sequential({
        layers: [
          dense({units: 32, activation: 'tanh', inputShape: [10]}),
          ...[dense({units: 32, activation: 'tanh'}), dense({units: 1})],
        ],
      }),
    );
    const x = tf.randomNormal<tf.Rank.R2>([64, 10], 0, 1, 'float32', 1);
    const y = tf.tidy(() => tf.mul(tf.slice(x, [0, 0], [64, 1]), tf.slice(x, [0, 1], [64, 1])));
    const optimizer = new OwLoreOptimizer({learningRate: 5e-3, ...options});
    model.compile({optimizer, loss: 'meanSquaredError'});
    const losses: number[] = [];
    for (let i = 0; i < 50; i++) losses.push((await model.trainOnBatch(x, y)) as number);
    model.dispose();
    optimizer.dispose();
    tf.dispose([x, y]);
    return losses;
  };

  for (const backend of backends.slice(1)) {
    for (const side of ['paper', 'auto'] as const) {
      it(`ends on ${backend} as on ${defaultBackend} at rank 8, side ${side}`, async () => {
        const [here, there] = await quietly(async () => [
          await lossesOn(defaultBackend, {rank: 8, side}),
          await lossesOn(backend, {rank: 8, side}),
        ]);
        expect(here.at(-1)).to.be.below(here[0]! / 3);
        // Rounding of 1e-7 grows in the basis by (σ₁/σ₈)² = 1e4, and in the losses of 50 steps by little.
        there.forEach((loss, i) =>
          expect(loss, `step ${i}`).to.be.closeTo(here[i]!, 2e-4 * here[i]!),
        );
      });
    }
  }
});
