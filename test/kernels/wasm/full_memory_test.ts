import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import {backends, defaultBackend, thorough} from '../../support/backends';
import {held, Sentinels} from '../../support/sentinels';

interface Allocator {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/** An allocator that has no memory beyond a budget. */
class Budget {
  /** Bytes in use. */
  live = 0;
  /** The most that may be in use. */
  most = Infinity;
  /** The bytes in use after each allocation. */
  levels: number[] = [];
  private readonly sizes = new Map<number, number>();
  private readonly original: Allocator;

  constructor(private readonly wasm: Allocator) {
    // The first calls make Emscripten put the binary's functions in their place.
    wasm._free(wasm._malloc(1));
    const {_malloc, _free} = (this.original = {...wasm});
    wasm._malloc = (bytes) => {
      if (this.live + bytes > this.most) return 0;
      const address = _malloc(bytes);
      this.sizes.set(address, bytes);
      this.live += bytes;
      this.levels.push(this.live);
      return address;
    };
    wasm._free = (address) => {
      this.live -= this.sizes.get(address) ?? 0;
      this.sizes.delete(address);
      _free(address);
    };
  }

  end(): void {
    const {_malloc, _free} = this.original;
    Object.assign(this.wasm, {_malloc, _free});
  }
}

const cases: Record<string, OwLoreOptions> = {
  AdamW: {project: false, weightDecay: 0.1},
  'projected, rotated, limited': {moments: 'rotate', clipNorm: 1, normGrowth: 1.01},
  'projected, moments anew, two calls a step': {moments: 'reset', accumulate: 2},
  'by whole gradients': {update: 'fira', clipNorm: 1},
};

const STEPS = 4;

(backends.includes('wasm') ? describe : describe.skip)('a wasm memory that is full', function () {
  this.timeout(120_000);
  let budget: Budget;
  let start: Omit<ReturnType<typeof held>, 'data'>;

  before(async () => {
    await tf.setBackend('wasm');
    uninstallKernels();
    budget = new Budget((tf.backend() as unknown as {wasm: Allocator}).wasm);
    await installKernels();
  });
  after(async () => {
    uninstallKernels();
    budget.end();
    await tf.setBackend(defaultBackend);
  });
  beforeEach(() => {
    const {tensors, bytes} = held();
    start = {tensors, bytes};
  });
  afterEach(() => {
    budget.most = Infinity;
    const {tensors, bytes} = held();
    expect({tensors, bytes}).to.deep.equal(start);
  });

  it('is an error, and no tensor is overwritten', async () => {
    const sentinels = new Sentinels();
    const x = tf.ones([100, 100]);
    const before = held();
    budget.most = budget.live + 30_000;
    const message = /memory of the wasm backend is full: no 40000 bytes left.*smaller batches/;
    const makers: Array<() => tf.Tensor> = [
      () => tf.zeros([100, 100]),
      () => tf.tensor(new Float32Array(10_000)),
      () => tf.add(x, 1),
      () => tf.exp(x),
      () => tf.transpose(x as tf.Tensor2D),
      () => tf.matMul(x, x),
    ];
    for (const make of makers) {
      expect(make, String(make)).to.throw(message);
      expect(held()).to.deep.equal(before);
    }
    await sentinels.expectUntouched('with a full memory');
    budget.most = Infinity;
    for (const make of makers) tf.dispose(make());
    x.dispose();
    sentinels.dispose();
  });

  it('is one for more bytes than there are addresses, too', () => {
    const backend = tf.backend() as unknown as {
      makeOutput(shape: number[], dtype: string): unknown;
    };
    expect(() => backend.makeOutput([2 ** 30 + 16], 'float32')).to.throw(
      /no 4294967360 bytes left/,
    );
  });

  for (const [title, options] of Object.entries(cases)) {
    if (!thorough && title !== 'projected, rotated, limited') continue;
    it(`wherever in a step it is, leaves the weights as they are, and the next try works: ${title}`, async () => {
      const reference = new Training(options);
      const expected = [reference.weights()];
      const levels: number[][] = [];
      for (let step = 0; step < STEPS; step++) {
        const base = budget.live;
        budget.levels = [];
        reference.step();
        levels.push([...new Set(budget.levels.map((level) => level - base))]);
        expected.push(reference.weights());
      }
      reference.dispose();
      let dataBefore = held().data;
      let failures = 0;
      for (let step = 0; step < STEPS; step++) {
        // with projections every fifth, to save time
        const tried = levels[step]!.filter(
          (bytes, i) => bytes > 0 && (options.project === false || (i + step) % 5 === 0),
        );
        for (const level of tried) {
          const training = new Training(options);
          for (let i = 0; i < step; i++) training.step();
          const before = training.weights();
          const {iterations} = training.optimizer;
          budget.most = budget.live + level - 1;
          expect(() => training.step(), `step ${step}, ${level} bytes`).to.throw(
            /memory of the wasm backend is full/,
          );
          budget.most = Infinity;
          failures++;
          expect(training.weights(), `step ${step}, ${level} bytes`).to.deep.equal(before);
          expect(training.optimizer.iterations).to.equal(iterations);
          training.step();
          const difference = Math.max(
            ...training.weights().map((x, i) => Math.abs(x - expected[step + 1]![i]!)),
          );
          expect(difference, `step ${step}, ${level} bytes`).to.be.below(1e-6);
          training.dispose();
          const {data, ...tensors} = held();
          expect(tensors, `step ${step}, ${level} bytes`).to.deep.equal(start);
          // tfjs's reductions over other axes than the last ones do not free their transposed copy
          expect(data - dataBefore, `step ${step}, ${level} bytes`).to.be.within(0, 1);
          dataBefore = data;
        }
      }
      expect(failures).to.be.above(20);
    });
  }
});

/** Two layers and a kernel, small enough to be trained hundreds of times. */
class Training {
  readonly optimizer: OwLoreOptimizer;
  private readonly variables: tf.Variable[];
  private readonly x: tf.Tensor2D;
  private calls = 0;

  constructor(options: OwLoreOptions) {
    this.optimizer = new OwLoreOptimizer({
      ...{learningRate: 0.01, rank: 2, refreshInterval: 2},
      ...options,
    });
    // The last one is the kernel of a convolution: as a matrix it shares its memory with the variable.
    this.variables = tf.tidy(() =>
      [[6, 12], [12, 5], [5], [2, 2, 3, 8]].map((shape, i) =>
        tf.variable(
          tf.randomNormal(shape, 0, 1, 'float32', i + 1),
          true,
          `full/${i}/${nextName++}`,
        ),
      ),
    );
    this.x = tf.randomNormal([7, 6], 0, 1, 'float32', 9);
  }

  /** All calls of a step; after an error, those that are not in its sums. */
  step(): void {
    const [first, second, bias, kernel] = this.variables;
    const begin = this.calls - this.optimizer.accumulated;
    try {
      for (let i = this.optimizer.accumulated; i < this.optimizer.accumulate; i++) {
        this.optimizer.minimize(
          () =>
            tf.tidy(() => {
              const x = tf.mul(this.x, 1 + (this.calls++ % 5));
              const hidden = tf.relu(tf.matMul(x, first as unknown as tf.Tensor2D));
              const ofKernel = tf.mean<tf.Scalar>(tf.square(tf.sin(kernel!)));
              const ofLayers = tf.mean<tf.Scalar>(
                tf.square(tf.add(tf.matMul(hidden, second as unknown as tf.Tensor2D), bias!)),
              );
              return tf.add(ofLayers, ofKernel);
            }),
          false,
          this.variables,
        );
      }
    } catch (error) {
      this.calls = begin + this.optimizer.accumulated;
      throw error;
    }
  }

  weights(): number[] {
    return this.variables.flatMap((variable) => [...variable.dataSync()]);
  }

  dispose(): void {
    this.optimizer.dispose();
    tf.dispose([...this.variables, this.x]);
  }
}

let nextName = 0;
