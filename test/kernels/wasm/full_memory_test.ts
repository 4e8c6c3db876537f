import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import {backends, defaultBackend, thorough} from '../../support/backends';
import {held, Sentinels} from '../../support/sentinels';
import {forgetWarnings} from '../../support/warnings';

interface Allocator {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/** Bytes that the backend leaves to its binary. */
const SPARE = 2 ** 16;

/** An allocator that has no memory beyond a budget. */
class Budget {
  /** Bytes in use. */
  live = 0;
  /** The most that may be in use. */
  max = Infinity;
  /** The bytes in use after each allocation. */
  levels: number[] = [];
  private readonly sizes = new Map<number, number>();
  private readonly original: Allocator;

  constructor(private readonly wasm: Allocator) {
    // The first calls make Emscripten put the binary's functions in their place.
    wasm._free(wasm._malloc(1));
    const {_malloc, _free} = (this.original = {...wasm});
    wasm._malloc = (bytes) => {
      if (this.live + bytes > this.max) return 0;
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
  'projected, rotated, limited': {moments: 'rotate', clipNorm: 1},
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
    budget.max = Infinity;
    const {tensors, bytes} = held();
    expect({tensors, bytes}).to.deep.equal(start);
  });

  it('is an error, and no tensor is overwritten', async () => {
    const sentinels = new Sentinels();
    const x = tf.ones([100, 100]);
    const before = held();
    budget.max = budget.live + 30_000 + SPARE;
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
    budget.max = Infinity;
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

  it('need not have room for a second matrix where a weight is moved in its place', () => {
    const variable = tf.tidy(() => tf.variable(tf.ones([300, 300])));
    const optimizer = new OwLoreOptimizer({learningRate: 0.1, project: false});
    const step = (): void => {
      const gradient = tf.ones<tf.Rank>(variable.shape);
      try {
        budget.max = budget.live + SPARE + 10_000;
        tf.tidy(() => optimizer.applyGradients([{name: variable.name, tensor: gradient}]));
      } finally {
        budget.max = Infinity;
        gradient.dispose();
      }
    };
    expect(step).to.throw(/is full: no 360000 bytes left/); // for the moments
    tf.tidy(() => optimizer.applyGradients([{name: variable.name, tensor: tf.ones([300, 300])}]));
    step();
    const shared = tf.reshape(variable, [-1]);
    const before = variable.dataSync();
    expect(step).to.throw(/is full: no 360000 bytes left/);
    expect(variable.dataSync()).to.deep.equal(before);
    shared.dispose();
    step();
    variable.dispose();
    optimizer.dispose();
  });

  for (const [title, options] of Object.entries(cases)) {
    if (!thorough) continue;
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
      const dataBefore = held().data;
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
          budget.max = budget.live + level - 1;
          expect(() => training.step(), `step ${step}, ${level} bytes`).to.throw(
            /memory of the wasm backend is full/,
          );
          budget.max = Infinity;
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
          expect(data, `step ${step}, ${level} bytes`).to.equal(dataBefore);
        }
      }
      expect(failures).to.be.above(20);
    });
  }
});

/** Ops whose kernels in tfjs's binary take memory of their own there, and others of several results; none is kept from an earlier call. */
const inBinary: Record<string, (seed: number) => tf.Tensor | tf.Tensor[]> = {
  'conv2d, whose filter is packed': (seed) =>
    tf.conv2d(values<tf.Rank.R4>([1, 8, 8, 64], 1), values([3, 3, 64, 64], seed), 1, 'same'),
  'fused.conv2d': (seed) =>
    tf.fused.conv2d({
      x: values<tf.Rank.R4>([1, 8, 8, 64], 1),
      filter: values<tf.Rank.R4>([3, 3, 64, 64], seed),
      ...{strides: 1, pad: 'same', bias: values<tf.Rank.R1>([64], 2), activation: 'relu'},
    }),
  depthwiseConv2d: (seed) =>
    tf.depthwiseConv2d(
      values<tf.Rank.R4>([1, 8, 8, 64], 1),
      values([9, 9, 64, 1], seed),
      1,
      'same',
    ),
  // kept by the sizes of its windows
  avgPool: (seed) => tf.avgPool(values<tf.Rank.R4>([1, 64, 64, 1], 1), [seed, 3], 1, 'same'),
  resizeBilinear: (seed) =>
    tf.image.resizeBilinear(values<tf.Rank.R4>([1, 9, 9, 1], 1), [100 + seed, 80]),
  'matMul of wide matrices': (seed) => tf.matMul(values([3, 200], 1), values([200, 200], seed)),
  split: (seed) => tf.split(values([200, 200], seed), 4),
  unique: (seed) => Object.values(tf.unique(ids(3000, seed))),
  'tensor, an upload': (seed) => values([3000], seed),
};

const values = <R extends tf.Rank>(shape: number[], seed: number): tf.Tensor<R> =>
  tf.tensor<R>(
    Float32Array.from({length: tf.util.sizeFromShape(shape)}, (_, i) => Math.sin(i * seed + seed)),
    shape as tf.ShapeMap[R],
  );

const ids = (count: number, below: number): tf.Tensor1D =>
  tf.tensor1d(
    Int32Array.from({length: count}, (_, i) => (i * 7919) % below),
    'int32',
  );

/** Runs `f` while the backend has `bytes` of memory and gets no more. */
function withRoom<T>(bytes: number, f: () => T): T {
  const {wasm} = tf.backend() as unknown as {
    wasm: Allocator & {asm: {malloc: Allocator['_malloc']}};
  };
  const {grow} = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = () => {
    throw new RangeError('no more pages');
  };
  const room = bytes > 0 ? wasm.asm.malloc(bytes) : 0;
  const taken: number[] = [];
  for (let size = 2 ** 28; size >= 8; size /= 2) {
    for (let address; (address = wasm.asm.malloc(size)) !== 0;) taken.push(address);
  }
  if (room !== 0) wasm._free(room);
  try {
    return f();
  } finally {
    taken.forEach((address) => wasm._free(address));
    WebAssembly.Memory.prototype.grow = grow;
  }
}

(backends.includes('wasm') ? describe : describe.skip)(
  "a wasm memory that is full while tfjs's binary works",
  function () {
    this.timeout(120_000);
    after(async () => {
      uninstallKernels(); // those that are composed: the next file of this process wants the others
      await tf.setBackend(defaultBackend);
    });
    for (const simd of ['auto', 'none'] as const) {
      for (const [title, make] of Object.entries(inBinary)) {
        it(`is an error, and the next try is right: ${title}, simd: '${simd}'`, async () => {
          const results = (seed: number): number[] =>
            tf.tidy(() => [make(seed)].flat().flatMap((y) => Array.from(y.dataSync())));
          uninstallKernels();
          await tf.setBackend('wasm');
          await installKernels({simd});
          const before = held();
          let failures = 0;
          // three steps for each doubling of the room
          for (let i = 0; i < 24; i++) {
            const seed = i + 3;
            let got: number[] | undefined;
            withRoom(Math.round(i === 0 ? 0 : 6000 * 2 ** (i / 3)), () => {
              try {
                got = results(seed);
              } catch (error) {
                failures++;
                expect((error as Error).message).to.match(
                  /^The memory of the wasm backend is full: /,
                );
              }
            });
            forgetWarnings(); // the binary's own, of what it could not make
            expect(held()).to.deep.equal(before);
            const again = results(seed);
            await tf.setBackend('cpu');
            const expected = results(seed);
            await tf.setBackend('wasm');
            for (const each of [got ?? again, again]) {
              expect(each.length).to.equal(expected.length);
              // sums of at most 576 products below 1 in another order
              const error = Math.max(...each.map((x, k) => Math.abs(x - expected[k]!)));
              expect(error, `with room ${i}`).to.be.below(1e-3);
            }
          }
          expect(failures).to.be.within(1, 23);
        });
      }
    }
  },
);

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
              const kernelLoss = tf.mean<tf.Scalar>(tf.square(tf.sin(kernel!)));
              const layerLoss = tf.mean<tf.Scalar>(
                tf.square(tf.add(tf.matMul(hidden, second as unknown as tf.Tensor2D), bias!)),
              );
              return tf.add(layerLoss, kernelLoss);
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
