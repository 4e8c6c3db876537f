import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer} from '../../src/index';
import type {OwLoreOptions} from '../../src/index';
import {recomputeGrad} from '../../src/tape/recompute';
import {streamGradients} from '../../src/tape/gradients';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends, thorough} from '../support/backends';
import {FailurePoints, globalState, InjectedError, withFailures} from './failures';

/*
 * An error anywhere, in a kernel of the forward or backward pass, in a gradient function, in what takes a gradient, leaves
 * no trace: not in the engine, not in what else the tape changes for a while, and no tensor.
 */

type Body = (h: tf.Tensor) => tf.Tensor;

/** A small network with all that a checkpoint has to look after; the tensors in it are noted. */
class SmallNetwork {
  readonly x = tf.randomUniform([3, 4], -1, 1, 'float32', 1);
  readonly w = tf.variable(tf.tidy(() => tf.randomUniform([4, 4], -1, 1, 'float32', 2)));
  readonly v = tf.variable(tf.tidy(() => tf.randomUniform([4, 4], -1, 1, 'float32', 3)));
  readonly average = tf.variable(
    tf.tidy(() => tf.scalar(0)),
    false,
  );
  readonly noted: tf.Tensor[] = [];

  constructor(
    private readonly part: (body: Body) => Body,
    private readonly points: FailurePoints,
  ) {}

  loss(): tf.Scalar {
    const inner = this.part((h) =>
      this.note(tf.tanh(tf.matMul(this.note(this.custom(h)), this.v))),
    );
    const outer = this.part((h) =>
      tf.tidy(() => {
        const shifted = this.note(tf.sub(h, this.average));
        this.average.assign(tf.add(tf.mul(this.average, 0.5), tf.mean(h)));
        return tf.mul(inner(this.note(tf.dropout(shifted, 0.3))), h);
      }),
    );
    const h = this.note(tf.matMul(this.x, this.w));
    return tf.mean(tf.square(tf.add(outer(h), outer(tf.relu(h)))));
  }

  dispose(): void {
    tf.dispose([this.x, this.w, this.v, this.average]);
  }

  private note<T extends tf.Tensor>(tensor: T): T {
    this.noted.push(tensor);
    return tensor;
  }

  /** 2 · h · v, with points of failure of its own. */
  private custom(h: tf.Tensor): tf.Tensor {
    return tf.customGrad((t, save) => {
      (save as tf.GradSaveFunc)([t as tf.Tensor]);
      this.points.pass();
      return {
        value: tf.mul(t as tf.Tensor, 2),
        gradFunc: (dy: tf.Tensor) => {
          this.points.pass();
          return tf.mul(dy, 2);
        },
      };
    })(h);
  }
}

/** Ways to take gradients of a network; all free what they get. */
const ways: Record<string, (network: SmallNetwork, points: FailurePoints) => void> = {
  streamGradients: (network, points) => {
    const xs = [network.w, network.v];
    const value = streamGradients(
      () => network.loss(),
      xs,
      (i, gradient) => {
        points.pass();
        tf.tidy(() => xs[i]!.assign(tf.sub(xs[i]!, gradient)));
        gradient.dispose();
        points.pass();
      },
    );
    value.dispose();
  },
  variableGrads: (network) => {
    const {value, grads} = variableGrads(() => network.loss(), [network.w, network.v]);
    tf.dispose([value, grads]);
  },
  'a gradient of a gradient': (network) => {
    const slope = (): tf.Scalar => tf.sum(tf.square(tf.grad(() => network.loss())(network.w)));
    const {value, grads} = variableGrads(slope, [network.w, network.v]);
    tf.dispose([value, grads]);
  },
};

const parts: Record<string, (body: Body) => Body> = {
  'without checkpoints': (body) => body,
  'with checkpoints': recomputeGrad,
};

describeBackends('an error', function (backend) {
  // What it tests is all in JavaScript.
  if (backend !== 'cpu') return;

  for (const [way, take] of Object.entries(ways)) {
    for (const [title, part] of Object.entries(parts)) {
      it(`at any point leaves no trace: ${way}, ${title}`, async () => {
        const averages = new Set<number>();
        const count = await failEverywhere(async (points) => {
          const network = new SmallNetwork(part, points);
          const before = tf.memory().numTensors;
          attempt(backend, points, () => {
            take(network, points);
          });
          expect(tf.memory().numTensors).to.equal(before);
          expect(network.noted.filter(({isDisposed}) => !isDisposed)).to.have.length(0);
          averages.add((await network.average.data())[0]!);
          network.dispose();
        });
        expect(count).to.be.above(40);
        // Before the first assignment, after it, after the second: nothing of the second run of a checkpoint.
        expect(averages).to.have.property('size', 3);
      });
    }
  }

  const variants: Record<string, OwLoreOptions> = {
    'updates at once': {nonFinite: 'ignore', rank: 2},
    'all updates at the end': {clipNorm: 1, nonFinite: 'throw', rank: 2},
    'several calls a step': {accumulate: 2, rank: 2, moments: 'rotate'},
    'without checkpoints': {nonFinite: 'ignore', project: false, gradientCheckpointing: 'none'},
  };

  for (const [title, options] of Object.entries(variants)) {
    it(`at any point of OwLoreOptimizer.minimize leaves no trace: ${title}`, async () => {
      const model = smallModel();
      const x = tf.randomUniform([3, 4], -1, 1, 'float32', 1);
      const loss = (): tf.Scalar =>
        tf.mean(tf.square(model.apply(x, {training: true}) as tf.Tensor));
      const count = await failEverywhere(
        async (points) => {
          const before = tf.memory().numTensors;
          const optimizer = new OwLoreOptimizer({
            learningRate: 0.001,
            refreshInterval: 1,
            ...options,
          });
          attempt(backend, points, () => {
            for (let i = 0; i < optimizer.accumulate; i++) optimizer.minimize(loss);
          });
          await optimizer.settled();
          optimizer.dispose();
          expect(tf.memory().numTensors).to.equal(before);
          // Hundreds of points, and a step for each of them.
        },
        thorough ? 1 : 11,
      );
      expect(count).to.be.above(100);
      model.dispose();
      x.dispose();
    });
  }
});

/** A block, which the optimizer checkpoints, and a head. */
function smallModel(): tfl.LayersModel {
  const dense = (seed: number): tfl.layers.Layer =>
    tfl.layers.dense({
      units: 4,
      activation: 'tanh',
      useBias: false,
      inputShape: [4],
      kernelInitializer: tfl.initializers.glorotUniform({seed}),
    });
  const block = tfl.sequential({
    layers: [dense(1), tfl.layers.batchNormalization(), tfl.layers.dropout({rate: 0.2}), dense(2)],
  });
  return tfl.sequential({layers: [block, dense(3)]});
}

/** Calls `run` with the first point failing, then with the next, or the next but some, and so on; returns about the number of points. */
async function failEverywhere(
  run: (points: FailurePoints) => Promise<void>,
  distance = 1,
): Promise<number> {
  for (let failing = 0; ; failing += distance) {
    const points = new FailurePoints(failing);
    try {
      await run(points);
    } catch (error) {
      (error as Error).message += ` (point ${failing})`;
      throw error;
    }
    if (!points.reached) return failing;
  }
}

/** Runs `body` with its failure, and checks that all global state is as before. */
function attempt(backend: string, points: FailurePoints, body: () => void): void {
  const before = globalState();
  try {
    withFailures(backend, points, body);
  } catch (error) {
    if (!(error instanceof InjectedError)) throw error;
  }
  const after = globalState();
  for (const [name, value] of Object.entries(before)) {
    expect(after[name], name).to.deep.equal(value);
  }
}
