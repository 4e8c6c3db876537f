import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../../src/index';
import {OwLoreRefresh, type OwLoreRefreshAttrs} from '../../../../src/kernels/kernel_names';
import {randomizedBasis} from '../../../../src/owlore/optimizer/state/basis';
import {resolveOwLoreOptions} from '../../../../src/owlore/optimizer/options';
import {basisShape, project} from '../../../../src/owlore/optimizer/state/projector';
import {refreshes} from '../../../../src/owlore/optimizer/step/update';
import type {Update} from '../../../../src/owlore/optimizer/step/pending_update';
import {inNewBasis} from '../../../../src/owlore/optimizer/step/update';
import {backends, defaultBackend} from '../../../support/backends';
import {held} from '../../../support/sentinels';
import {InjectedError} from '../../../tape/failures';
import {Terms} from '../../../tape/term_losses';

/*
 * Which gradients wait for each other, and that this changes nothing. The kernel that makes their bases is here the slow way: one after
 * the other by plain ops, on cpu. TensorFlow's is compared with the same in test/kernels/tensorflow/refresh_test.ts.
 */

/** The shapes of the gradients in each call of the kernel. */
let calls: number[][][] = [];
let isFailing = false;

function slowRefresh({inputs, attrs}: Parameters<tf.KernelFunc>[0]): tf.TensorInfo[] {
  const {refreshes, scalesDirections} = attrs as unknown as OwLoreRefreshAttrs;
  const given = inputs as tf.NamedTensorMap;
  calls.push(refreshes.map((_, i) => given[`gradient${i}`]!.shape));
  if (isFailing) throw new InjectedError();
  return refreshes.flatMap(({side, multiplications}, i) => {
    const gradient = given[`gradient${i}`] as tf.Tensor2D;
    const random = given[`random${i}`] as tf.Tensor2D;
    const previous = given[`previous${i}`] as tf.Tensor2D | undefined;
    const [rows, columns] = gradient.shape;
    const projection = {rows, columns, rank: random.shape[1], side};
    expect(random.shape).to.deep.equal(basisShape(projection));
    expect(multiplications).to.equal(previous ? 1 : 3);
    const oriented = side === 'left' ? gradient : tf.transpose<tf.Tensor2D>(gradient);
    const basis = randomizedBasis(oriented, projection.rank, previous ?? null, '');
    const options = resolveOwLoreOptions({scale: scalesDirections ? 'auto' : 1});
    // what it reads of an update
    const update = {projection} as Update;
    const made = inNewBasis(update, basis, project(gradient, basis, projection), options);
    return [made.newBasis!, made.gradient];
  });
}

(backends.includes('cpu') ? describe : describe.skip)('refreshes of several bases at once', () => {
  let start: ReturnType<typeof held>;
  before(() => tf.setBackend('cpu'));
  after(() => tf.setBackend(defaultBackend));
  beforeEach(() => {
    calls = [];
    isFailing = false;
    start = held();
    tf.registerKernel({
      ...{kernelName: OwLoreRefresh, backendName: 'cpu'},
      kernelFunc: slowRefresh,
    });
  });
  afterEach(() => {
    if (tf.getKernel(OwLoreRefresh, 'cpu')) tf.unregisterKernel(OwLoreRefresh, 'cpu');
    expect(held()).to.deep.equal(start);
  });

  const variableOf = (name: string, shape: number[], seed: number): tf.Variable =>
    tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, 1, 'float32', seed), true, name));

  /** Two blocks of two matrices and a bias, and a matrix of more axes after them. */
  const SHAPES: Record<string, number[]> = {
    'block0/up/kernel': [6, 9],
    'block0/down/kernel': [9, 6],
    'block0/down/bias': [6],
    'block1/up/kernel_1': [6, 9],
    'block1/down/kernel_3': [9, 6],
    'head/kernel': [2, 2, 3, 7],
  };
  const blockShapes = [
    [6, 9],
    [9, 6],
  ];

  function gradients(step: number, factor = 1): tf.NamedTensorMap {
    const entries = Object.entries(SHAPES).map(
      ([name, shape], i) =>
        [name, tf.mul(tf.randomNormal(shape, 0, 1, 'float32', 1 + 10 * step + i), factor)] as const,
    );
    return Object.fromEntries(entries);
  }

  interface Trained {
    weights: number[][];
    refreshes: string[];
    calls: number[][][];
  }

  /** Some steps, one of them by gradients times `factor`. */
  function train(options: OwLoreOptions, factor = 1): Trained {
    const variables = Object.entries(SHAPES).map(([name, shape], i) =>
      variableOf(name, shape, 100 + i),
    );
    const refreshes: string[] = [];
    const optimizer = new OwLoreOptimizer({
      ...{rank: 2, refreshInterval: 2, project: /./, nonFinite: 'skip', learningRate: 0.1},
      ...options,
    });
    optimizer.setSamplingPlan({
      ...{blockVariables: new Set(), frozenVariables: new Set()},
      onRefresh: ({variable, step}) => refreshes.push(`${variable} in step ${step}`),
    });
    for (let step = 0; step < 5; step++) {
      tf.tidy(() => {
        for (let call = 0; call < optimizer.accumulate; call++) {
          optimizer.applyGradients(gradients(step + 50 * call, step === 2 ? factor : 1));
        }
      });
    }
    const weights = variables.map((variable) => [...variable.dataSync()]);
    optimizer.dispose();
    tf.dispose(variables);
    return {weights, refreshes: refreshes.sort(), calls: calls.splice(0)};
  }

  const ways: Record<string, OwLoreOptions> = {
    'by default': {},
    'without a scale of directions': {scale: 1},
    'moments rotated': {moments: 'rotate'},
    'several calls a step': {accumulate: 2},
    'on the left side': {side: 'left'},
    'clipped by their norm': {clipNorm: 1},
  };
  for (const [how, options] of Object.entries(ways)) {
    it(`make the steps that one after the other make: ${how}`, () => {
      const together = train(options);
      expect(together.calls[0]).to.deep.equal(blockShapes);
      tf.unregisterKernel(OwLoreRefresh, 'cpu');
      const alone = train(options);
      expect(alone.calls).to.deep.equal([]);
      expect(together.refreshes).to.deep.equal(alone.refreshes);
      together.weights.forEach((values, i) => {
        // Squares are summed in another order for a norm.
        const within = options.clipNorm ? 1e-5 : 0;
        values.forEach((x, j) => expect(x, `${i}: ${j}`).to.be.closeTo(alone.weights[i]![j]!, within)); // prettier-ignore
      });
    });
  }

  it('are those of a block; of the next one they wait no longer', () => {
    const {calls} = train({});
    // In the first, third and fifth step. A kernel of more axes is a matrix to the kernel.
    const step = [blockShapes, [...blockShapes, [12, 7]]];
    expect(calls).to.deep.equal([...step, ...step, ...step]);
  });

  it('are made one by one where no gradient waits for a check', () => {
    const {calls} = train({nonFinite: 'ignore'});
    expect(calls).to.have.length(15);
    expect(calls.every((shapes) => shapes.length === 1)).to.equal(true);
  });

  it('are left out for other bases, and between two refreshes', () => {
    const own: OwLoreOptions[] = [{basis: 'svd'}, {basis: randomizedBasis}, {project: false}];
    for (const options of own) expect(train(options).calls).to.deep.equal([]);
    expect(train({refreshInterval: 200}).calls).to.have.length(2);
  });

  it('change nothing in a step that is skipped', () => {
    const expected = train({learningRate: (step) => (step < 2 ? 0.1 : 0)});
    // the third step refreshes, and has gradients that are not finite
    const actual = train({learningRate: (step) => (step < 2 ? 0.1 : 0)}, NaN);
    expect(actual.weights).to.deep.equal(expected.weights);
  });

  it('are those of 8 MB of gradients at most, and of each that is larger none', () => {
    const names = ['first', 'second', 'third', 'fourth', 'fifth'];
    const shapes = [[1024, 1024], [1024, 1024], [8, 8], [1024, 2049], [1024, 2048]]; // prettier-ignore
    const variables = names.map((name, i) => variableOf(`${name}/kernel`, shapes[i]!, i));
    const optimizer = new OwLoreOptimizer({rank: 1});
    tf.tidy(() =>
      optimizer.applyGradients(
        Object.fromEntries(variables.map(({name, shape}) => [name, tf.ones(shape)])),
      ),
    );
    expect(calls).to.deep.equal([shapes.slice(0, 2), shapes.slice(2, 3), shapes.slice(4)]);
    optimizer.dispose();
    tf.dispose(variables);
  });

  it('go together by the names of variables but for the first number, which is that of the block', () => {
    const countsOf = (names: readonly string[]): number[] => {
      const variables = names.map((name, i) => variableOf(name, [5, 4], i));
      const optimizer = new OwLoreOptimizer({rank: 1});
      tf.tidy(() =>
        optimizer.applyGradients(
          Object.fromEntries(names.map((name, i) => [name, tf.fill([5, 4], i + 1)])),
        ),
      );
      optimizer.dispose();
      tf.dispose(variables);
      return calls.splice(0).map((shapes) => shapes.length);
    };
    expect(countsOf(['h1/mlp1/w', 'h1/mlp2/w', 'h12/mlp1/w', 'h12/mlp2/w'])).to.deep.equal([2, 2]);
    expect(countsOf(['w', 'w_1', 'w_2'])).to.deep.equal([1, 1, 1]);
    expect(countsOf(['query', 'key', 'value'])).to.deep.equal([3]);
  });

  it('are made one by one where the part is not loaded, as in a page', () => {
    const expected = train({});
    Object.defineProperty(refreshes, 'loaded', {get: () => undefined, configurable: true});
    try {
      expect(train({})).to.deep.equal({...expected, calls: []});
    } finally {
      Reflect.deleteProperty(refreshes, 'loaded');
    }
  });

  it('leave gradients in terms alone', () => {
    const weight = variableOf('terms/matrix', [12, 5], 1);
    const other = variableOf('terms/other', [7, 5], 2);
    const optimizer = new OwLoreOptimizer({rank: 2});
    const terms = new Terms(weight, 0, 1);
    optimizer.minimize(() => tf.add(terms.loss(), tf.sum(tf.square(other))), false, [
      weight,
      other,
    ]);
    expect(calls).to.deep.equal([[[7, 5]]]);
    optimizer.dispose();
    tf.dispose([weight, other]);
  });

  it('leave projected sums alone, though a refresh is due under other options', async () => {
    const weight = variableOf('matrix', [6, 5], 1);
    const options = {rank: 2, accumulate: 2};
    const step = (optimizer: OwLoreOptimizer): void =>
      optimizer.applyGradients({matrix: tf.randomNormal([6, 5], 0, 1, 'float32', 3)});
    const first = new OwLoreOptimizer(options);
    tf.tidy(() => [1, 2, 3].forEach(() => step(first)));
    calls = [];
    const next = new OwLoreOptimizer({...options, refreshInterval: 1});
    await next.setWeights(await first.getWeights());
    tf.tidy(() => step(next));
    expect([next.iterations, ...calls]).to.deep.equal([2]);
    first.dispose();
    next.dispose();
    weight.dispose();
  });

  it('that fail leave weights and state as they were, and the next step can be made', () => {
    const variables = Object.entries(SHAPES).map(([name, shape], i) =>
      variableOf(name, shape, 100 + i),
    );
    const values = (): number[][] => variables.map((variable) => [...variable.dataSync()]);
    const before = values();
    const optimizer = new OwLoreOptimizer({rank: 2});
    isFailing = true;
    expect(() => tf.tidy(() => optimizer.applyGradients(gradients(0)))).to.throw(InjectedError);
    expect(values()).to.deep.equal(before);
    expect(optimizer.stateBytes).to.equal(0);
    expect(held().tensors).to.equal(start.tensors + variables.length);
    isFailing = false;
    tf.tidy(() => optimizer.applyGradients(gradients(0)));
    expect(optimizer.iterations).to.equal(1);
    optimizer.dispose();
    tf.dispose(variables);
  });
});
