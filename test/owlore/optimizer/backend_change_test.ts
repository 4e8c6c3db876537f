import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {backends, defaultBackend, type BackendName} from '../../support/backends';
import {installKernels} from '../../../src/kernels/wasm';

const learningRate = 0.01;
/** Both sides, and what is not projected. */
const SHAPES = [[6, 9], [9, 5], [9]];
/** What is trained in each call of the plan; the refreshes of a matrix come after three of its own steps. */
const PLAN = [
  [0, 1, 2],
  [0, 1, 2],
  [0, 2],
  [0, 1, 2],
  [1, 2],
  [0, 1, 2],
  [0, 1, 2],
  [0, 2],
];

const readable = backends.filter((name) => name !== 'webgpu' && name !== 'webgl');

/** Tensors, and data on each backend. */
function heldOnAll(): unknown {
  const {registry} = tf.engine();
  const data = readable.map((name) => registry[name]?.numDataIds() ?? 0);
  return {tensors: tf.memory().numTensors, data};
}

class Training {
  readonly optimizer: OwLoreOptimizer;
  private readonly variables: tf.Variable[];
  private calls = 0;

  constructor(options: OwLoreOptions) {
    this.optimizer = new OwLoreOptimizer({learningRate, rank: 2, refreshInterval: 3, ...options});
    this.variables = tf.tidy(() =>
      SHAPES.map((shape, i) => tf.variable(tf.randomNormal(shape, 0, 1, 'float32', i + 1))),
    );
  }

  /** One call for each entry, in which the gradient differs. */
  train(calls: readonly number[][]): void {
    for (const on of calls) {
      const trained = on.map((i) => this.variables[i]!);
      const loss = (): tf.Scalar => {
        const terms = trained.map((x, i) => {
          const seed = 100 + 10 * this.calls + on[i]!;
          return tf.sum(tf.square(tf.sub(x, tf.randomNormal(x.shape, 0, 2, 'float32', seed))));
        });
        return tf.addN<tf.Scalar>(terms as tf.Scalar[]);
      };
      this.optimizer.minimize(() => tf.tidy(loss), false, trained);
      this.calls++;
    }
  }

  weights(): number[] {
    return this.variables.flatMap((variable) => [...variable.dataSync()]);
  }

  dispose(): void {
    this.optimizer.dispose();
    tf.dispose(this.variables);
  }
}

async function use(name: BackendName): Promise<void> {
  await tf.setBackend(name);
  if (name === 'wasm') await installKernels();
}

describe('a backend that is changed in a training', function () {
  this.timeout(120_000);
  afterEach(() => tf.setBackend(defaultBackend));

  const pairs = readable.flatMap((from, i) =>
    readable.slice(i + 1).map((to) => [from, to] as const),
  );
  for (const [from, to] of pairs) {
    for (const moments of ['keep', 'rotate', 'reset'] as const) {
      for (const state of ['reset', 'keep'] as const) {
        it(`${from} to ${to} and back, moments '${moments}', state '${state}'`, async () => {
          for (const name of [to, from]) await use(name);
          const start = heldOnAll();
          for (const accumulate of [1, 2]) {
            const options: OwLoreOptions = {
              moments,
              state,
              accumulate,
              clipNorm: 10,
            };
            const whole = new Training(options);
            whole.train([...PLAN, ...PLAN]);
            const expected = whole.weights();
            whole.dispose();
            const parts = new Training(options);
            // with two calls a step the changes are in the middle of one
            const cuts = [0, 3, 9, 11, 2 * PLAN.length];
            for (let i = 1; i < cuts.length; i++) {
              await use(i % 2 === 1 ? from : to);
              parts.train([...PLAN, ...PLAN].slice(cuts[i - 1], cuts[i]));
            }
            const difference = Math.max(
              ...parts.weights().map((x, i) => Math.abs(x - expected[i]!)),
            );
            expect(difference, `${accumulate} calls a step`).to.be.below(0.01 * learningRate);
            parts.dispose();
            await use(from);
            expect(heldOnAll()).to.deep.equal(start);
          }
        });
      }
    }
  }
});
