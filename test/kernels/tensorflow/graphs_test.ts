import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {KernelGraphs, type GraphsHistory} from '../../../src/kernels/tensorflow/graphs';
import type {NativeKernel} from '../../../src/kernels/tensorflow/kernel';
import {rmsNorm, rmsNormGrad} from '../../../src/kernels/tensorflow/rms_norm';
import {mlpSublayer, mlpSublayerGrad} from '../../../src/kernels/tensorflow/sublayers';
import {swiglu, swigluGrad} from '../../../src/kernels/tensorflow/swiglu';
import type {NodeBackend} from '../../../src/kernels/tensorflow/native_ops';
import {backends, defaultBackend} from '../../support/backends';
import {withTemporaryFolder} from '../../support/temporary_folder';
import {expectWarning} from '../../support/warnings';

const isThere = backends.includes('tensorflow');
const RUNS_BEFORE = 3;

/** 2a + b and a − b, and how often they were computed op by op. */
let runs = 0;
const kernel: NativeKernel<{factor?: number}> = (ops, inputs, {factor = 2}) => {
  runs++;
  const [a, b] = [inputs['a']!, inputs['b']!];
  return [ops.add(ops.mul(a, ops.scalar(factor)), b), ops.sub(a, b)];
};
const product: NativeKernel<object> = (ops, {a, b}) => ops.mul(a!, b!);

(isThere ? describe : describe.skip)('KernelGraphs', () => {
  let backend: NodeBackend & {getNumOfTFTensors(): number};
  let binding: NodeBackend['binding'];
  let graphs: KernelGraphs;
  /** Calls of the binding. */
  let calls: string[];

  before(() => tf.setBackend('tensorflow'));
  after(() => tf.setBackend(defaultBackend));

  beforeEach(() => {
    backend = tf.backend() as unknown as typeof backend; // the backend's own, of which tfjs shows a part
    ({binding} = backend);
    graphs = new KernelGraphs(RUNS_BEFORE);
    calls = [];
    runs = 0;
    watch({});
  });
  afterEach(() => {
    graphs.dispose();
    backend.binding = binding;
  });

  /** Notes the calls that concern models, and puts others in their places. */
  function watch(others: Partial<NodeBackend['binding']>): void {
    const watched = ['loadSavedModel', 'runSavedModel', 'deleteSavedModel'] as const;
    const noted = watched.map((name) => {
      const call = (...args: unknown[]): unknown => {
        calls.push(name);
        const original = (others[name] ?? binding[name]) as (...args: unknown[]) => unknown;
        return original.apply(binding, args);
      };
      return [name, {value: call}] as const;
    });
    // Its properties cannot be changed.
    backend.binding = Object.create(binding, Object.fromEntries(noted)) as typeof binding;
  }

  /** The kernel's results for a = [1, 1, …] and b = [3, 3, …], each as its first number. */
  function compute(size = 2, of: NativeKernel<never> = kernel, attrs = {}): number[] {
    return tf.tidy(() => {
      const inputs = {a: tf.ones([size]), b: tf.fill([size], 3)};
      // The backend makes tensors of its results itself.
      const results = graphs.kernelFunc(of.name, of)({inputs, attrs, backend}) as tf.Tensor[];
      return results.map((tensor) => {
        expect(tensor.shape).to.deep.equal([size]);
        return tensor.dataSync()[0]!;
      });
    });
  }

  it('runs a kernel op by op at first, and then as a graph', () => {
    const {numTensors} = tf.memory();
    for (let run = 0; run < RUNS_BEFORE + 4; run++) expect(compute()).to.deep.equal([5, -2]);
    expect(runs).to.equal(RUNS_BEFORE);
    expect(calls).to.deep.equal(['loadSavedModel', ...Array<string>(4).fill('runSavedModel')]);
    expect(tf.memory().numTensors).to.equal(numTensors);
  });

  it('runs a kernel by another until it has a graph, and holds no more tensors', () => {
    const one = graphs.runner('product', product);
    let others = 0;
    const run = graphs.kernelFunc('products', product, {}, (...args) => {
      others++;
      return one(...args);
    });
    const tensors = backend.getNumOfTFTensors();
    for (let i = 0; i < RUNS_BEFORE + 2; i++) {
      tf.tidy(() => {
        const inputs = {a: tf.ones([2]), b: tf.fill([2], 3)};
        const [result] = run({inputs, attrs: {}, backend}) as tf.Tensor[];
        expect(Array.from(result!.dataSync())).to.deep.equal([3, 3]);
      });
    }
    expect(others).to.equal(RUNS_BEFORE - 1);
    expect(calls).to.deep.equal(['loadSavedModel', 'runSavedModel', 'runSavedModel']);
    expect(backend.getNumOfTFTensors()).to.equal(tensors);
  });

  it('leaves no files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'owlore-graphs-'));
    await withTemporaryFolder(folder, () => {
      for (let run = 0; run < RUNS_BEFORE + 1; run++) compute();
    });
    expect(calls).to.deep.equal(['loadSavedModel', 'runSavedModel']);
    expect(readdirSync(folder)).to.deep.equal([]);
    rmSync(folder, {recursive: true});
  });

  it('gives the bits of op by op, so that the first steps of a process are as the later ones', () => {
    const shapes = {x: [3, 8, 24], norm: [24], gate: [24, 40], up: [24, 40], down: [40, 24]};
    const mlp = {scale: [24, 1], gated: [24, 40], upped: [24, 40], dy: [3, 8, 24]};
    const cases: Array<[NativeKernel<never>, Record<string, number[]>]> = [
      [rmsNorm, {x: [3, 8, 24], weight: [24]}],
      [rmsNormGrad, {x: [3, 8, 24], weight: [24], dy: [3, 8, 24]}],
      [swiglu, {gate: [24, 40], up: [24, 40]}],
      [swigluGrad, {gate: [24, 40], up: [24, 40], dy: [24, 40]}],
      [mlpSublayer, shapes],
      [mlpSublayerGrad, {...shapes, ...mlp}],
    ];
    const attrs = {epsilon: 1e-6, withValue: true, withWeightGradients: true};
    for (const [of, inputs] of cases) {
      const run = (): number[][] =>
        tf.tidy(() => {
          const tensors = Object.entries(inputs).map(([name, shape], i) => [
            name,
            tf.randomNormal(shape, 0, 1, 'float32', i + 1),
          ]);
          const given = {inputs: Object.fromEntries(tensors) as tf.NamedTensorMap, attrs, backend};
          const results = graphs.kernelFunc(of.name, of)(given) as tf.Tensor[];
          return results.map((tensor) => Array.from(tensor.dataSync()));
        });
      const first = run();
      for (let i = 1; i < RUNS_BEFORE; i++) run();
      calls = [];
      const asGraph = run();
      expect(calls).to.deep.equal(['loadSavedModel', 'runSavedModel']);
      asGraph.forEach((values, i) => {
        const differing = values.filter((value, j) => !Object.is(value, first[i]![j])).length;
        expect(differing, `${of.name}, result ${i}`).to.equal(0);
      });
    }
  });

  it('has a graph for each kernel, shape and set of attributes, and few models', () => {
    for (let run = 0; run < RUNS_BEFORE + 1; run++) {
      expect(compute(2)).to.deep.equal([5, -2]);
      expect(compute(3)).to.deep.equal([5, -2]);
      expect(compute(3, kernel, {factor: 10})).to.deep.equal([13, -2]);
      expect(compute(3, product)).to.deep.equal([3]);
    }
    expect(calls).to.deep.equal(['loadSavedModel', ...Array<string>(4).fill('runSavedModel')]);
    graphs.dispose();
    expect(calls.slice(5)).to.deep.equal(['deleteSavedModel']);
  });

  it('has one graph for all lengths of a free axis', () => {
    // nothing in it depends on the length
    const joined: NativeKernel<object> = (ops, {a, b}) => ops.concat([a!, b!], 0);
    const func = graphs.kernelFunc('joined', joined, {a: 0});
    const lengths = (a: number, b: number): number[] =>
      tf.tidy(() => {
        const inputs = {a: tf.ones([a, 2]), b: tf.fill([b, 2], 3)};
        const [result] = func({inputs, attrs: {}, backend}) as tf.Tensor[];
        const values = Array.from(result!.dataSync());
        return [1, 3].map((value) => values.filter((x) => x === value).length / 2);
      });
    for (let a = 0; a < 2 * RUNS_BEFORE; a++) expect(lengths(a, 2)).to.deep.equal([a, 2]);
    const [load, run] = ['loadSavedModel', 'runSavedModel'];
    expect(calls).to.deep.equal([load, ...Array<string>(RUNS_BEFORE).fill(run)]);
    // of another input it is fixed
    expect(lengths(1, 3)).to.deep.equal([1, 3]);
    expect(calls).to.have.length(1 + RUNS_BEFORE);
  });

  it('forgets the shapes that were used longest ago', () => {
    for (let size = 1; size <= 40; size++) {
      for (let run = 0; run < RUNS_BEFORE + 1; run++) compute(size);
    }
    expect(calls.filter((name) => name === 'deleteSavedModel')).to.have.length(40 - 32);
    runs = 0;
    compute(40);
    expect(runs).to.equal(0);
    compute(1);
    expect(runs).to.equal(1);
    graphs.dispose();
    expect(calls.filter((name) => name === 'deleteSavedModel')).to.have.length(40);
  });

  it('goes on op by op where TensorFlow loads no models, and does not ask again', () => {
    watch({
      loadSavedModel: () => {
        throw new Error('no models here');
      },
    });
    expectWarning(/^tfjs-owlore: TensorFlow cannot load .* longer: Error: no models here$/);
    for (let run = 0; run < 3 * RUNS_BEFORE; run++) {
      expect(compute(2)).to.deep.equal([5, -2]);
      expect(compute(3)).to.deep.equal([5, -2]);
    }
    expect(calls).to.deep.equal(['loadSavedModel']);
  });

  it('goes on op by op where no file can be written', async () => {
    expectWarning(/TensorFlow cannot load .*ENOENT/);
    await withTemporaryFolder('/nowhere/at/all', () => {
      for (let run = 0; run < 2 * RUNS_BEFORE; run++) expect(compute()).to.deep.equal([5, -2]);
    });
    expect(calls).to.deep.equal([]);
  });

  describe('with the history of another process', () => {
    let other: KernelGraphs;
    beforeEach(() => {
      for (let run = 0; run < RUNS_BEFORE + 2; run++) compute(2);
      for (let run = 0; run < RUNS_BEFORE; run++) compute(3, kernel, {factor: 10});
      compute(4);
      compute(2); // the one that was used last
      other = new KernelGraphs(RUNS_BEFORE);
      other.kernelFunc('kernel', kernel);
      calls = [];
    });
    afterEach(() => other.dispose());

    /** As it comes from a file. */
    const history = (): GraphsHistory =>
      JSON.parse(JSON.stringify(graphs.history(backend))) as GraphsHistory;

    /** Goes on with `other` in place of `graphs`. */
    function goOn(): void {
      [graphs, other] = [other, graphs];
      [runs, calls] = [0, []];
    }

    it('run as graphs what was a graph or about to be one, and count on', () => {
      const saved = history();
      expect(other.restore(backend, saved)).to.equal(true);
      expect(other.history(backend)).to.deep.equal(saved);
      goOn();
      for (let run = 0; run < 2; run++) {
        expect(compute(2)).to.deep.equal([5, -2]);
        expect(compute(3, kernel, {factor: 10})).to.deep.equal([13, -2]);
      }
      // each ran once for its ops
      expect(runs).to.equal(2);
      const [load, run] = ['loadSavedModel', 'runSavedModel'];
      expect(calls.splice(0)).to.deep.equal([load, run, load, run, run, run]);
      for (let run = 0; run < RUNS_BEFORE + 1; run++) expect(compute(4)).to.deep.equal([5, -2]);
      expect(runs).to.equal(2 + RUNS_BEFORE - 1);
      expect(calls).to.deep.equal([load, run, run]);
    });

    it('round as they would have there, where a graph rounds in another way than its ops', () => {
      // TensorFlow multiplies the two numbers beforehand.
      const twice: NativeKernel<object> = (ops, {a}) =>
        ops.mul(ops.mul(a!, ops.scalar(1 / 3)), ops.scalar(1 / 7));
      const numbers = (): number[] =>
        tf.tidy(() => {
          const inputs = {a: tf.randomNormal([64], 0, 1, 'float32', 1)};
          const func = graphs.kernelFunc('twice', twice);
          const [result] = func({inputs, attrs: {}, backend}) as tf.Tensor[];
          return Array.from(result!.dataSync());
        });
      const all = Array.from({length: RUNS_BEFORE + 1}, numbers);
      const asGraph = all.at(-1)!;
      expect(all[0]).not.to.deep.equal(asGraph);
      other.kernelFunc('twice', twice);
      expect(other.restore(backend, history())).to.equal(true);
      goOn();
      expect(numbers()).to.deep.equal(asGraph);
    });

    it('forget what they had themselves, and hold no more tensors', () => {
      goOn();
      for (let run = 0; run < RUNS_BEFORE + 1; run++) compute(5);
      goOn();
      const saved = history();
      expect(other.restore(backend, saved)).to.equal(true);
      expect(calls).to.deep.equal(['deleteSavedModel']);
      const tensors = backend.getNumOfTFTensors();
      expect(other.restore(backend, saved)).to.equal(true);
      expect(backend.getNumOfTFTensors()).to.equal(tensors);
      expect(other.restore(backend, {isOnGpu: false, isRefused: false, kernels: {}})).to.equal(
        true,
      );
      expect(other.history(backend)).to.deep.equal({isOnGpu: false, isRefused: false, kernels: {}});
      expect(backend.getNumOfTFTensors()).to.equal(tensors);
    });

    it('hold no tensors of the run that was only for its ops', () => {
      expect(other.restore(backend, history())).to.equal(true);
      goOn();
      const tensors = backend.getNumOfTFTensors();
      compute(2);
      expect(calls).to.deep.equal(['loadSavedModel', 'runSavedModel']);
      expect(backend.getNumOfTFTensors()).to.equal(tensors);
    });

    it('run op by op where it had to, and say if they must here', () => {
      expect(other.restore(backend, {...history(), isRefused: true})).to.equal(true);
      goOn();
      for (let run = 0; run < RUNS_BEFORE; run++) compute(2);
      expect([runs, calls]).to.deep.equal([RUNS_BEFORE, []]);
      goOn();
      const saved = history();
      const onGpu = Object.create(backend, {isUsingGpuDevice: {value: true}}) as NodeBackend;
      const none = {isRefused: false, kernels: {}};
      for (const isRefused of [false, true])
        expect(other.restore(onGpu, {...saved, isRefused})).to.equal(false);
      expect(other.restore(onGpu, {...none, isOnGpu: true})).to.equal(true);
      expect(other.restore(backend, {...none, isOnGpu: true})).to.equal(false);
    });

    it('begin anew if it is of other kernels, or no history at all', () => {
      const {kernel: usages} = history().kernels;
      const others = [
        ...[
          null,
          5,
          {},
          {kernels: {}},
          {isRefused: false, kernels: {}},
          {isOnGpu: false, isRefused: 1, kernels: {}},
          {isOnGpu: false, isRefused: false, kernels: 5},
        ],
        {isOnGpu: false, isRefused: false, kernels: {unknown: usages!}},
        {isOnGpu: false, isRefused: false, kernels: {kernel: 5}},
        {isOnGpu: false, isRefused: false, kernels: {kernel: [null]}},
        {isOnGpu: false, isRefused: false, kernels: {kernel: [{...usages![0], runs: -1}]}},
        {isOnGpu: false, isRefused: false, kernels: {kernel: [{...usages![0], inputs: 'a'}]}},
      ];
      for (const wrong of others) {
        expect(other.restore(backend, wrong), JSON.stringify(wrong)).to.equal(false);
        expect(other.history(backend)).to.deep.equal({
          isOnGpu: false,
          isRefused: false,
          kernels: {},
        });
      }
      expect(calls).to.deep.equal([]);
    });
  });

  it('is not for a GPU', () => {
    const onGpu = Object.create(backend, {isUsingGpuDevice: {value: true}}) as NodeBackend;
    const func = graphs.kernelFunc('kernel', kernel);
    tf.tidy(() => {
      const inputs = {a: tf.ones([2]), b: tf.ones([2])};
      for (let run = 0; run < 2 * RUNS_BEFORE; run++) func({inputs, attrs: {}, backend: onGpu});
    });
    expect(runs).to.equal(2 * RUNS_BEFORE);
    expect(calls).to.deep.equal([]);
  });
});
