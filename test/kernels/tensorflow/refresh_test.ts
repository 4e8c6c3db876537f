import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../src/index';
import {OwLoreRefresh, type OwLoreRefreshed, type Side} from '../../../src/kernels/kernel_names';
import {replaceKernels} from '../../../src/kernels/replacement';
import {runKernel} from '../../../src/kernels/run_kernel';
import {installKernels, uninstallKernels} from '../../../src/kernels/tensorflow';
import {KernelGraphs} from '../../../src/kernels/tensorflow/graphs';
import {createRefresh} from '../../../src/kernels/tensorflow/refresh';
import {randomizedBasis, randomStart} from '../../../src/owlore/optimizer/state/basis';
import {resolveOwLoreOptions} from '../../../src/owlore/optimizer/options';
import {project} from '../../../src/owlore/optimizer/state/projector';
import type {Update} from '../../../src/owlore/optimizer/step/pending_update';
import {inNewBasis} from '../../../src/owlore/optimizer/step/update';
import {backends, defaultBackend} from '../../support/backends';
import {FailurePoints, InjectedError, withFailures} from '../../tape/failures';
import {watchCalls} from './watch_calls';

const isThere = backends.includes('tensorflow');
const RANK = 4;
/** Float32 roundings, times what the gaps between singular values make of them in single vectors. */
const TOLERANCE = 1e-4;

interface Case {
  shape: [number, number];
  side: Side;
  hasPrevious?: boolean;
}

const cases: Case[] = [
  {shape: [9, 14], side: 'left'},
  {shape: [14, 9], side: 'right'},
  {shape: [9, 14], side: 'left', hasPrevious: true},
  {shape: [20, 7], side: 'left'},
  {shape: [7, 20], side: 'right', hasPrevious: true},
];

/** A gradient whose singular values fall, so that each singular vector is a matter of the gradient. */
function gradientOf({shape: [rows, columns]}: Case, seed: number): tf.Tensor2D {
  return tf.tidy(() => {
    const inner = Math.min(rows, columns);
    const [u, v] = [
      tf.randomNormal([rows, inner], 0, 1, 'float32', seed),
      tf.randomNormal([inner, columns], 0, 1, 'float32', seed + 1),
    ];
    const scales = tf.tensor1d(Array.from({length: inner}, (_, i) => 0.5 ** i));
    return tf.matMul<tf.Tensor2D>(tf.mul(u, scales), v);
  });
}

const basisRows = ({shape: [rows, columns], side}: Case): number =>
  side === 'left' ? rows : columns;

/** All cases in one call. */
function argumentsOf(scalesDirections: boolean): {
  inputs: Record<string, tf.Tensor>;
  attrs: {refreshes: OwLoreRefreshed[]; scalesDirections: boolean};
} {
  const inputs: Record<string, tf.Tensor> = {};
  const refreshes = cases.map((one, i) => {
    inputs[`gradient${i}`] = gradientOf(one, 10 * i + 1);
    inputs[`random${i}`] = randomStart(basisRows(one), RANK);
    if (one.hasPrevious) inputs[`previous${i}`] = previousOf(one);
    return {side: one.side, multiplications: one.hasPrevious ? 1 : 3};
  });
  return {inputs, attrs: {refreshes, scalesDirections}};
}

/** A basis of a gradient that is near. */
function previousOf(one: Case): tf.Tensor2D {
  return tf.tidy(() => {
    const g = gradientOf(one, 77);
    return randomizedBasis(one.side === 'left' ? g : tf.transpose(g), RANK, null, 'w');
  });
}

/** P and R by the ops of the optimizer, one gradient after the other, on cpu: without any kernel of this library. */
async function slow(scalesDirections: boolean): Promise<number[][]> {
  const options = resolveOwLoreOptions({scale: scalesDirections ? 'auto' : 1});
  await tf.setBackend('cpu');
  const results = cases.flatMap((one, i) =>
    tf.tidy(() => {
      const g = gradientOf(one, 10 * i + 1);
      const {
        shape: [rows, columns],
        side,
      } = one;
      const projection = {rows, columns, rank: RANK, side};
      const oriented = side === 'left' ? g : tf.transpose<tf.Tensor2D>(g);
      const basis = randomizedBasis(oriented, RANK, one.hasPrevious ? previousOf(one) : null, 'w');
      // what it reads of an update
      const update = {projection} as Update;
      const {newBasis, gradient} = inNewBasis(
        update,
        basis,
        project(g, basis, projection),
        options,
      );
      return [newBasis!, gradient].map((x) => Array.from(x.dataSync()));
    }),
  );
  await tf.setBackend('tensorflow');
  return results;
}

/** One for each product with the gradient, and one at the end. */
const DECOMPOSITIONS = cases.reduce((sum, {hasPrevious}) => sum + (hasPrevious ? 1 : 3) + 1, 0);

/** How many matrices were decomposed by ops one by one. */
function decompositions(ops: readonly string[]): number {
  return ops.filter((op) => op === 'Cholesky' || op === 'Qr').length;
}

/** The largest difference, in parts of the largest number. */
function difference(values: readonly number[], expected: readonly number[]): number {
  expect(values.length).to.equal(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  return Math.max(...values.map((value, i) => Math.abs(value - expected[i]!))) / largest;
}

(isThere ? describe : describe.skip)('OwLoreRefresh [tensorflow]', () => {
  before(async () => {
    await tf.setBackend('tensorflow');
    await installKernels();
  });
  after(async () => {
    uninstallKernels();
    await tf.setBackend(defaultBackend);
  });

  /** What `count` calls give, from the second on as a graph if `isGraph`, and never in the way that is for gradients that are not finite. */
  function results(isGraph: boolean, scalesDirections: boolean, count: number): number[][][] {
    const graphs = new KernelGraphs(isGraph ? 1 : Infinity);
    const putBack = replaceKernels('tensorflow', {[OwLoreRefresh]: () => createRefresh(graphs)});
    const {take, stop} = watchCalls();
    try {
      return Array.from({length: count}, (_, i) =>
        tf.tidy(() => {
          const {inputs, attrs} = argumentsOf(scalesDirections);
          take();
          const result = runKernel(OwLoreRefresh, inputs, attrs)!;
          const calls = take();
          const runsGraph = isGraph && i > 0;
          expect(calls.graphs).to.equal(runsGraph ? 1 : 0);
          expect(decompositions(calls.ops)).to.equal(runsGraph ? 0 : DECOMPOSITIONS);
          return result.map((x) => Array.from(x.dataSync()));
        }),
      );
    } finally {
      stop();
      putBack();
      graphs.dispose();
    }
  }

  for (const scalesDirections of [false, true]) {
    it(`gives P and R of each gradient as the ops of the optimizer do${scalesDirections ? ', scaled' : ''}`, async () => {
      const before = tf.memory().numTensors;
      const expected = await slow(scalesDirections);
      for (const isGraph of [false, true]) {
        for (const call of results(isGraph, scalesDirections, 3)) {
          expect(call.length).to.equal(expected.length);
          call.forEach((values, i) => {
            expect(difference(values, expected[i]!), `output ${i}`).to.be.below(TOLERANCE);
          });
        }
      }
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  it('takes gradients that are not finite, op by op and as a graph', () => {
    const graphs = new KernelGraphs(1);
    const putBack = replaceKernels('tensorflow', {[OwLoreRefresh]: () => createRefresh(graphs)});
    const {take, stop} = watchCalls();
    try {
      const attrs = {refreshes: [{side: 'left', multiplications: 1}], scalesDirections: true};
      const values = [NaN, 1, 1, NaN, Infinity, 1];
      const calls = values.map((value) =>
        tf.tidy(() => {
          const gradient0 = tf.mul(gradientOf(cases[0]!, 1), value);
          const given = {gradient0, random0: randomStart(9, RANK)};
          take();
          const [basis] = runKernel(OwLoreRefresh, given, attrs)!;
          const {graphs, ops} = take();
          const isFinite = basis!.dataSync().every(Number.isFinite);
          expect(isFinite, String(value)).to.equal(Number.isFinite(value));
          return {graphs, decompositions: decompositions(ops)};
        }),
      );
      // Not every TensorFlow refuses what is not finite. If it does, the second call makes the graph that the first could not make.
      expect(calls[0]!.graphs).to.equal(0);
      expect(calls[0]!.decompositions).to.be.above(0);
      for (const i of [2, 5]) expect(calls[i]).to.deep.equal({graphs: 1, decompositions: 0});
    } finally {
      stop();
      putBack();
      graphs.dispose();
    }
  });

  describe('in a step', () => {
    const BLOCKS = 3;

    /** Matrices of blocks, a matrix of another kind, and a bias. */
    function makeVariables(): tf.Variable[] {
      const make = (shape: number[], name: string, seed: number): tf.Variable =>
        tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, 1, 'float32', seed), true, name));
      const blockGradients = Array.from({length: BLOCKS}, (_, i) => [
        make([12, 9], `refreshed_${i}/up/kernel`, 3 * i + 1),
        make([9, 12], `refreshed_${i}/down/kernel`, 3 * i + 2),
        make([12], `refreshed_${i}/bias`, 3 * i + 3),
      ]);
      return [...blockGradients.flat(), make([3, 3, 8, 10], 'refreshed/filter', 50)];
    }

    /** A loss of which each variable has a gradient of full rank. */
    const loss = (variables: readonly tf.Variable[]): tf.Scalar =>
      tf.tidy(() =>
        variables
          .map((v) => tf.mean<tf.Scalar>(tf.square(tf.sin(tf.mul(v, 1.7)))))
          .reduce((sum, one) => tf.add(sum, one)),
      );

    const options: OwLoreOptions = {learningRate: 0.05, rank: RANK, refreshInterval: 2};

    /** The variables after some steps, and how many gradients each call of the kernel had. */
    function train(isTogether: boolean, more: OwLoreOptions): {values: number[]; calls: number[]} {
      const kernel = tf.getKernel(OwLoreRefresh, 'tensorflow');
      const calls: number[] = [];
      tf.unregisterKernel(OwLoreRefresh, 'tensorflow');
      if (isTogether) {
        tf.registerKernel({
          ...kernel,
          kernelFunc: (args) => {
            calls.push((args.attrs!['refreshes'] as unknown as unknown[]).length);
            return kernel.kernelFunc(args);
          },
        });
      }
      const variables = makeVariables();
      const optimizer = new OwLoreOptimizer({...options, ...more});
      try {
        for (let step = 0; step < 5; step++)
          optimizer.minimize(() => loss(variables), false, variables);
        return {values: variables.flatMap((v) => Array.from(v.dataSync())), calls};
      } finally {
        if (isTogether) tf.unregisterKernel(OwLoreRefresh, 'tensorflow');
        tf.registerKernel(kernel);
        optimizer.dispose();
        tf.dispose(variables);
      }
    }

    for (const [title, more, perRefresh] of [
      ['', {}, [3, 2, 2]],
      [', each alone where none waits for a check', {nonFinite: 'ignore'}, Array(7).fill(1)],
      [', by the whole gradient', {update: 'fira', scale: 1}, [3, 2, 2]],
      [', with clipping and rotated moments', {clipNorm: 0.1, moments: 'rotate'}, [3, 2, 2]],
    ] as const) {
      it(`makes bases block by block, and moves weights as without it${title}`, () => {
        const before = tf.memory().numTensors;
        const {values, calls} = train(true, more);
        const {values: expected} = train(false, more);
        expect(difference(values, expected)).to.be.below(TOLERANCE);
        // steps 1, 3 and 5; the filter joins the block whose gradients come beside its own
        const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => b - a);
        expect(sorted(calls)).to.deep.equal(sorted([...perRefresh, ...perRefresh, ...perRefresh]));
        expect(tf.memory().numTensors).to.equal(before);
      });
    }

    it('that fails at any point leaks nothing, and leaves a state that can be used', function () {
      this.timeout(120_000);
      const before = tf.memory().numTensors;
      let failing = 0;
      for (let isReached = true; isReached; failing += 3) {
        const variables = makeVariables();
        const optimizer = new OwLoreOptimizer(options);
        const step = (): void => void optimizer.minimize(() => loss(variables), false, variables);
        step();
        step();
        const points = new FailurePoints(failing);
        try {
          withFailures('tensorflow', points, step);
        } catch (error) {
          if (!(error instanceof InjectedError)) throw error;
        }
        step();
        const values = variables.flatMap((v) => Array.from(v.dataSync()));
        expect(values.every(Number.isFinite), `point ${failing}`).to.equal(true);
        optimizer.dispose();
        tf.dispose(variables);
        expect(tf.memory().numTensors, `point ${failing}`).to.equal(before);
        isReached = points.reached;
      }
      expect(failing).to.be.above(150);
    });

    it('names a gradient that is not finite, and changes nothing', () => {
      const before = tf.memory().numTensors;
      const variables = makeVariables();
      const values = (): number[] => variables.flatMap((v) => Array.from(v.dataSync()));
      const start = values();
      const optimizer = new OwLoreOptimizer(options);
      const broken = variables[4]!;
      expect(() =>
        optimizer.minimize(
          () => tf.tidy(() => tf.add(loss(variables), tf.sum<tf.Scalar>(tf.mul(broken, NaN)))),
          false,
          variables,
        ),
      ).to.throw(`gradient of '${broken.name}' is NaN`);
      expect(values()).to.deep.equal(start);
      optimizer.dispose();
      tf.dispose(variables);
      expect(tf.memory().numTensors).to.equal(before);
    });
  });
});
