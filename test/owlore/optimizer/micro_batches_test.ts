import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {LayerSamplingCallback, OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {describeBackends} from '../../support/backends';
import {held} from '../../support/sentinels';

const [ROWS, PARTS, STEPS, WIDTH] = [12, 3, 6, 8];
const BLOCKS = ['b0', 'b1', 'b2'];
const learningRate = 0.01;

/**
 * Sums over rows are rounded in another order, a relative error of perhaps 1e-6 of the largest entries of a gradient. Adam divides
 * each entry by its own length, so that an entry of a thousandth of the largest may move by 1e-3 of the rate more or less, in each
 * step. (Entries that are much smaller are rare in these gradients.)
 */
const TOLERANCE = STEPS * 1e-3 * learningRate;

/** A batch; one of them is a spike. */
function batchOf(step: number): {xs: tf.Tensor2D; ys: tf.Tensor2D} {
  return tf.tidy(() => {
    const xs = tf.randomUniform<tf.Rank.R2>([ROWS, WIDTH], -1, 1, 'float32', 1 + step);
    const ys = tf.mul<tf.Tensor2D>(tf.sum(tf.square(xs), 1, true), step === 3 ? 30 : 1);
    return {xs, ys};
  });
}

class Training {
  readonly model: tfl.LayersModel;
  readonly optimizer: OwLoreOptimizer;
  private readonly callback: LayerSamplingCallback | null;

  constructor(options: OwLoreOptions, isSampled: boolean) {
    const dense = (name: string, units: number, seed: number): tfl.layers.Layer =>
      tfl.layers.dense({
        ...{name, units, activation: 'tanh'},
        kernelInitializer: tfl.initializers.randomNormal({stddev: 0.5, seed}),
        biasInitializer: tfl.initializers.randomNormal({stddev: 0.5, seed: seed + 10}),
      });
    const input = tfl.input({shape: [WIDTH]});
    const hidden = BLOCKS.reduce(
      (x, name, i) => dense(name, WIDTH, i + 1).apply(x) as tfl.SymbolicTensor,
      input,
    );
    const output = dense('head', 1, 9).apply(hidden) as tfl.SymbolicTensor;
    this.model = tfl.model({inputs: input, outputs: output});
    this.optimizer = new OwLoreOptimizer({learningRate, rank: 2, ...options});
    this.callback = isSampled
      ? new LayerSamplingCallback({gamma: 1, interval: 2, blocks: BLOCKS})
      : null;
    this.callback?.attach(this.model, this.optimizer);
  }

  /** A step of the batch in `accumulate` parts. */
  step(number: number): void {
    const {xs, ys} = batchOf(number);
    const size = ROWS / this.optimizer.accumulate;
    for (let from = 0; from < ROWS; from += size) {
      this.callback?.step();
      this.optimizer.minimize(
        () =>
          tf.tidy(() => {
            const outputs = this.model.apply(tf.slice(xs, from, size), {
              training: true,
            }) as tf.Tensor;
            return tf.losses.meanSquaredError(tf.slice(ys, from, size), outputs);
          }),
        false,
        this.variables,
      );
    }
    tf.dispose([xs, ys]);
  }

  get variables(): tf.Variable[] {
    return this.model.weights.map((weight) => weight.read() as tf.Variable);
  }

  async weights(): Promise<number[][]> {
    await this.optimizer.settled();
    return Promise.all(this.variables.map(async (variable) => [...(await variable.data())]));
  }

  dispose(): void {
    this.callback?.restore();
    this.optimizer.dispose();
    this.model.dispose();
  }
}

const limits: Record<string, OwLoreOptions> = {
  'not clipped': {},
  clipped: {clipNorm: 0.5},
};

describeBackends('micro-batches', function (backend) {
  if (backend === 'webgpu' || backend === 'webgl') this.timeout(120_000);
  let start: ReturnType<typeof held>;
  beforeEach(() => (start = held()));
  afterEach(() => expect(held()).to.deep.equal(start));

  for (const [how, options] of Object.entries(limits)) {
    for (const isSampled of [false, true]) {
      for (const moments of ['keep', 'rotate'] as const) {
        // A basis is new in every second step of a matrix, blocks in every second step.
        it(`equal one batch, ${how}${isSampled ? ', blocks sampled' : ''}, moments '${moments}'`, async () => {
          const shared: OwLoreOptions = {...options, moments, refreshInterval: 2};
          const whole = new Training(shared, isSampled);
          const parts = new Training({...shared, accumulate: PARTS}, isSampled);
          const free = new Training({...shared, clipNorm: null}, isSampled);
          for (let step = 0; step < STEPS; step++) {
            for (const each of [whole, parts, free]) each.step(step);
            const [expected, actual] = [await whole.weights(), await parts.weights()];
            expected.forEach((values, i) => {
              const difference = Math.max(...values.map((x, j) => Math.abs(x - actual[i]![j]!)));
              expect(difference, `step ${step}, weight ${i}`).to.be.below(TOLERANCE);
            });
          }
          expect(parts.optimizer.iterations).to.equal(STEPS);
          const [limited, unlimited] = [
            (await whole.weights()).flat(),
            (await free.weights()).flat(),
          ];
          const effect = Math.max(...limited.map((x, i) => Math.abs(x - unlimited[i]!)));
          if (how !== 'not clipped') expect(effect, 'of the limit').to.be.above(10 * TOLERANCE);
          for (const each of [whole, parts, free]) each.dispose();
        });
      }
    }
  }
});
