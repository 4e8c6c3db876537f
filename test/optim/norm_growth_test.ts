import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../src/index';
import {held} from '../support/sentinels';
import {describeAlsoLate} from '../support/stand_in';

type Matrix = number[][];
type Gradients = Record<string, Matrix>;

const SHAPES: Record<string, [number, number]> = {wide: [4, 6], tall: [7, 3], small: [1, 5]};
const RANK = 2;
const RATE = 0.01;
const [BETA1, BETA2, EPSILON, DECAY] = [0.9, 0.99, 1e-8, 0.1];

const transpose = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => transpose(b).map((column) => row.reduce((sum, x, k) => sum + x * column[k]!, 0)));
const map = (a: Matrix, f: (x: number, i: number, j: number) => number): Matrix =>
  a.map((row, i) => row.map((x, j) => f(x, i, j)));
const norm = (matrices: Matrix[]): number => Math.hypot(...matrices.flat(2));
const random = (seed: number, [rows, columns]: [number, number]): Matrix =>
  Array.from({length: rows}, (_, i) =>
    Array.from({length: columns}, (__, j) =>
      Math.sin(1 + 12.9898 * seed + 78.233 * i + 4.1414 * j),
    ),
  );

/** The first coordinates, as a basis that never changes. */
const basisOf = (dimension: number): Matrix =>
  Array.from({length: dimension}, (_, i) =>
    Array.from({length: RANK}, (__, j) => (i === j ? 1 : 0)),
  );

interface Limits {
  clipNorm: number | null;
  normGrowth: number | null;
}

/** AdamW and its projected form on matrices of numbers, written down from the formulas. */
class PlainOptimizer {
  readonly weights: Gradients = Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape], i) => [name, random(i, shape)]),
  );
  /** Norm of the last step and what was trained in it. */
  last: {names: string; norm: number} | null = null;
  private moments: Record<string, {first: Matrix; second: Matrix; steps: number}> = {};

  constructor(
    private readonly limits: Limits,
    private readonly isProjected: boolean,
  ) {}

  /** One step of the means of the calls' gradients. A step with a NaN changes nothing. */
  step(calls: Gradients[]): void {
    const names = Object.keys(calls[0]!);
    if (this.last?.names !== names.join()) this.last = null;
    const means = names.map((name) =>
      map(calls[0]![name]!, (_, i, j) => {
        const values = calls.map((gradients) => gradients[name]![i]![j]!);
        return values.reduce((a, b) => a + b) / calls.length;
      }),
    );
    const size = norm(means);
    if (Number.isNaN(size)) return;
    const {clipNorm, normGrowth} = this.limits;
    let factor = 1;
    if (clipNorm !== null) factor = Math.min(factor, clipNorm / (size + 1e-6));
    if (normGrowth !== null && this.last && this.last.norm > 0 && size > 0) {
      factor = Math.min(factor, (normGrowth * this.last.norm) / size);
    }
    this.last = {names: names.join(), norm: factor * size};
    names.forEach((name, i) =>
      this.move(
        name,
        map(means[i]!, (x) => factor * x),
      ),
    );
  }

  private move(name: string, gradient: Matrix): void {
    const weight = this.weights[name]!;
    const [rows, columns] = SHAPES[name]!;
    const projected = this.isProjected && Math.min(rows, columns) > RANK;
    const isLeft = rows <= columns;
    const basis = basisOf(Math.min(rows, columns));
    const r = !projected
      ? gradient
      : isLeft
        ? product(transpose(basis), gradient)
        : product(gradient, basis);
    const zeros = map(r, () => 0);
    const old = this.moments[name] ?? {first: zeros, second: zeros, steps: 0};
    const steps = old.steps + 1;
    const first = map(r, (x, i, j) => BETA1 * old.first[i]![j]! + (1 - BETA1) * x);
    const second = map(r, (x, i, j) => BETA2 * old.second[i]![j]! + (1 - BETA2) * x * x);
    this.moments[name] = {first, second, steps};
    const n = map(first, (m, i, j) => {
      const v = second[i]![j]! / (1 - BETA2 ** steps);
      return m / (1 - BETA1 ** steps) / (Math.sqrt(v) + EPSILON);
    });
    const change = !projected ? n : isLeft ? product(basis, n) : product(n, transpose(basis));
    this.weights[name] = map(weight, (w, i, j) => w * (1 - RATE * DECAY) - RATE * change[i]![j]!);
  }
}

const all = Object.keys(SHAPES);
/** What is trained in each step, and by what its gradients are multiplied: spikes, a batch without loss, a NaN, tiny ones. */
const SCHEDULE: Array<[names: string[], size: number]> = [
  [all, 1],
  [all, 1.004],
  [all, 300],
  [all, 1.5],
  [all, 0.2],
  [all, 40],
  [['wide', 'small'], 5],
  [['wide', 'small'], 50],
  [['wide', 'small'], NaN],
  [['wide', 'small'], 7],
  [['wide', 'small'], 0],
  [['wide', 'small'], 3],
  [all, 1e-5],
  [all, 1e-5],
  [all, 2e-5],
  [['tall', 'small'], 1e-5],
  [['tall', 'small'], 1],
  [['wide', 'small'], 1000],
];

/** Gradients of a call of a step. */
function gradientsOf(step: number, call: number): Gradients {
  const [names, size] = SCHEDULE[step]!;
  // a NaN in one call is enough, and in one gradient
  const factorOf = (name: string): number =>
    Number.isNaN(size) && (call > 0 || name !== 'wide') ? 1 : size;
  return Object.fromEntries(
    names.map((name) => {
      const seed = 100 + 10 * step + all.indexOf(name) + 1000 * call;
      return [name, map(random(seed, SHAPES[name]!), (x) => factorOf(name) * x)];
    }),
  );
}

/**
 * Each of the 18 steps moves a weight by at most a few times the rate, with a relative error of perhaps twenty roundings of 6e-8, and
 * rounds the weight, which is below 2: 18·(3·0.01·20·6e-8 + 1.2e-7) = 2.8e-6. Without a limit the weights differ by more than the rate.
 */
const TOLERANCE = 5e-6;

describeAlsoLate('normGrowth', function (backend) {
  if (backend === 'webgpu') this.timeout(120_000);
  const variables = new Map<string, tf.Variable>();
  let optimizers: OwLoreOptimizer[] = [];
  let start: ReturnType<typeof held>;

  beforeEach(() => {
    start = held();
    const {weights} = new PlainOptimizer({clipNorm: null, normGrowth: null}, false);
    for (const name of all) {
      const variable = tf.tidy(() =>
        tf.variable(tf.tensor2d(weights[name]!), true, `growth/${name}`),
      );
      variables.set(name, variable);
    }
  });

  afterEach(() => {
    for (const optimizer of optimizers) optimizer.dispose();
    optimizers = [];
    tf.dispose([...variables.values()]);
    expect(held()).to.deep.equal(start);
  });

  function optimizerOf(options: OwLoreOptions): OwLoreOptimizer {
    const optimizer = new OwLoreOptimizer({
      ...{learningRate: RATE, beta1: BETA1, beta2: BETA2, epsilon: EPSILON},
      ...{weightDecay: DECAY, rank: RANK, scale: 1, nonFinite: 'skip', refreshInterval: 2},
      basis: (gradient) => tf.tidy(() => tf.tensor2d(basisOf(gradient.shape[0]))),
      ...options,
    });
    optimizers.push(optimizer);
    return optimizer;
  }

  function call(optimizer: OwLoreOptimizer, gradients: Gradients): void {
    const names = Object.keys(gradients);
    const trained = names.map((name) => variables.get(name)!);
    optimizer.minimize(
      () =>
        tf.tidy(() =>
          tf.addN(
            names.map((name, i) => tf.sum(tf.mul(trained[i]!, tf.tensor2d(gradients[name]!)))),
          ),
        ),
      false,
      trained,
    );
  }

  async function expectClose(plain: PlainOptimizer, step: number): Promise<void> {
    for (const [name, variable] of variables) {
      const [actual, expected] = [await variable.data(), plain.weights[name]!.flat()];
      const difference = Math.max(...expected.map((x, i) => Math.abs(x - actual[i]!)));
      expect(difference, `step ${step}, ${name}`).to.be.below(TOLERANCE);
    }
  }

  async function savedNorm(optimizer: OwLoreOptimizer): Promise<number | null> {
    const entry = (await optimizer.getWeights()).find(({name}) => name === 'owlore.norm');
    return entry ? (await entry.tensor.data())[0]! : null;
  }

  for (const project of [false, 'auto'] as const) {
    for (const clipNorm of [null, 3]) {
      for (const accumulate of [1, 2]) {
        const how = `${project ? '' : 'not '}projected, clipNorm ${clipNorm}, ${accumulate} calls a step`;
        it(`limits each step by the one before: ${how}`, async () => {
          const limits = {clipNorm, normGrowth: 1.01};
          const plain = new PlainOptimizer(limits, project !== false);
          const options = {...limits, project, accumulate};
          let optimizer = optimizerOf(options);
          for (const step of SCHEDULE.keys()) {
            const calls = Array.from({length: accumulate}, (_, i) => gradientsOf(step, i));
            plain.step(calls);
            for (const gradients of calls) {
              call(optimizer, gradients);
              await optimizer.settled();
              // after each call it goes on in another optimizer
              const next = optimizerOf(options);
              await next.setWeights(await optimizer.getWeights());
              optimizer.dispose();
              optimizer = next;
            }
            await expectClose(plain, step);
            const expected = plain.last?.norm ?? 0;
            expect((await savedNorm(optimizer)) ?? 0, `step ${step}`).to.be.closeTo(
              expected,
              1e-5 * expected,
            );
          }
          expect(optimizer.skippedSteps).to.equal(1);
          expect(optimizer.iterations).to.equal(SCHEDULE.length);
        });
      }
    }
  }

  it('changes nothing where no norm grows by more', async () => {
    const [limited, free] = [optimizerOf({normGrowth: 1e9}), optimizerOf({})];
    const results: Float32Array[] = [];
    for (const optimizer of [limited, free]) {
      const weight = tf.tidy(() => tf.variable(tf.ones([4, 6]), true, 'growth/free'));
      for (let step = 0; step < 4; step++) {
        const {wide} = gradientsOf(step, 0);
        const loss = (): tf.Scalar => tf.tidy(() => tf.sum(tf.mul(weight, tf.tensor2d(wide!))));
        optimizer.minimize(loss, false, [weight]);
      }
      await optimizer.settled();
      results.push(await weight.data<'float32'>());
      weight.dispose();
    }
    expect(results[0]).to.deep.equal(results[1]);
  });

  it('limits nothing by the norm of a step that failed', async () => {
    const optimizer = optimizerOf({normGrowth: 1.5, refreshInterval: 1});
    let isFailing = false;
    optimizer.setSamplingPlan({
      blockVariables: new Set(all.map((name) => `growth/${name}`)),
      frozenVariables: new Set(),
      onRefresh: () => {
        if (isFailing) throw new Error('of its own');
      },
    });
    call(optimizer, gradientsOf(0, 0));
    await optimizer.settled();
    const before = (await savedNorm(optimizer))!;
    isFailing = true;
    expect(() => call(optimizer, gradientsOf(2, 0))).to.throw('of its own');
    isFailing = false;
    optimizer.applyGradients({});
    await optimizer.settled();
    expect(await savedNorm(optimizer)).to.equal(before);
    call(optimizer, gradientsOf(2, 0));
    await optimizer.settled();
    expect(await savedNorm(optimizer)).to.be.closeTo(1.5 * before, 1e-5 * before);
  });

  it('limits nothing by a norm that was saved, where it is not asked for', async () => {
    const [saver, resumed] = [optimizerOf({normGrowth: 1.01}), optimizerOf({clipNorm: 1e6})];
    call(saver, gradientsOf(0, 0));
    await saver.settled();
    await resumed.setWeights(await saver.getWeights());
    call(resumed, gradientsOf(2, 0));
    await resumed.settled();
    const fresh = optimizerOf({});
    call(fresh, gradientsOf(0, 0));
    await fresh.settled();
    const clocks = (await fresh.getWeights()).find(({name}) => name.endsWith('clocks'))!.tensor;
    expect(clocks.shape, 'whose gradients are in a norm is not saved').to.deep.equal([4]);
    const moment = async (optimizer: OwLoreOptimizer): Promise<number> => {
      const saved = await optimizer.getWeights();
      const entry = saved.find(({name}) => name === 'growth/small/owlore.moment1')!;
      return (await entry.tensor.data())[0]!;
    };
    // β·(1 − β)·g + (1 − β)·300·g' of the unlimited gradient
    const [first, spike] = [
      gradientsOf(0, 0)['small']![0]![0]!,
      gradientsOf(2, 0)['small']![0]![0]!,
    ];
    const expected = (1 - BETA1) * (BETA1 * first + spike);
    expect(await savedNorm(resumed)).to.equal(await savedNorm(saver));
    expect(await moment(resumed)).to.be.closeTo(expected, 1e-5 * Math.abs(expected));
  });

  it('counts in stateBytes, and is gone after dispose', async () => {
    const optimizer = optimizerOf({normGrowth: 1.01, project: false});
    call(optimizer, gradientsOf(0, 0));
    await optimizer.settled();
    const size = Object.values(SHAPES).reduce((sum, [rows, columns]) => sum + rows * columns, 0);
    expect(optimizer.stateBytes).to.equal(4 * 2 * size + 4);
    optimizer.dispose();
    expect(optimizer.stateBytes).to.equal(0);
    expect(await savedNorm(optimizer)).to.equal(null);
  });
});
