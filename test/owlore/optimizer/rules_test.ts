import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../../src/memory/meter';
import type {BasisFunction, OwLoreOptions} from '../../../src/owlore/optimizer/options';
import {updateNames} from '../../../src/owlore/optimizer/rules';
import {apollo} from '../../../src/owlore/optimizer/rules/apollo';
import {OwLoreOptimizer} from '../../../src/owlore/owlore_optimizer';
import {describeFastBackends, fastBackend} from '../../support/backends';
import {Comparison, type Tolerance} from '../../support/close';
import {entry, readJson, toTensor} from '../../support/fixtures';
import {quoted} from '../../support/quoted';
import {Trajectory} from '../../support/trajectory';

/**
 * The update rules beside GaLore's, and when a basis is refreshed:
 * - against the published code of each method, run on given gradients (`fixtures/variants`);
 * - saved and loaded in the middle, to the last bit;
 * - with accumulation, clipping and skipped steps;
 * - no tensor is left.
 */

interface VariantCase {
  update: NonNullable<OwLoreOptions['update']>;
  moments?: NonNullable<OwLoreOptions['moments']>;
  rank: number;
  gap: number;
  lr: number;
  eps: number;
  scale: number;
  steps: number;
  betas: [number, number];
  side: 'left' | 'right';
  tolerance: Record<string, Tolerance>;
}

/** The recorded bases, one after the other. */
function recordedBases(trajectory: Trajectory, rank: number): BasisFunction {
  let next = 0;
  return () => {
    const basis = toTensor(trajectory.get(`basis.${next++}`)) as tf.Tensor2D;
    return basis.shape[1] === rank ? basis : tf.transpose(basis);
  };
}

/** A variable that starts at `value`, which it takes over. */
function variableOf(value: tf.Tensor): tf.Variable {
  const variable = tf.variable(value);
  value.dispose();
  return variable;
}

/** Goes on with other options, as a new optimizer with the saved state of the old one. */
async function continued(
  optimizer: OwLoreOptimizer,
  options: OwLoreOptions,
): Promise<OwLoreOptimizer> {
  const next = new OwLoreOptimizer(options);
  await next.setWeights(await optimizer.getWeights());
  optimizer.dispose();
  return next;
}

const names = ['fira', 'apollo', 'apollo_mini', 'ldadam'].flatMap((method) => [
  `${method}_tall`,
  `${method}_wide`,
]);

describeFastBackends('update rules', (backend) => {
  let tensorsBefore: number;
  beforeEach(() => (tensorsBefore = tf.memory().numTensors));
  afterEach(() => {
    expect(tf.memory().numTensors, 'tensors left').to.equal(tensorsBefore);
  });

  for (const name of names) {
    it(`follow the published code: ${name}`, async () => {
      const fixture = readJson<VariantCase>(`variants/${name}`);
      const trajectory = new Trajectory(`variants/${name}`);
      const options: OwLoreOptions = {
        learningRate: fixture.lr,
        ...{beta1: fixture.betas[0], beta2: fixture.betas[1]},
        ...{rank: fixture.rank, side: fixture.side, scale: fixture.scale},
        refreshInterval: fixture.gap,
        update: fixture.update,
        moments: fixture.moments,
        basis: recordedBases(trajectory, fixture.rank),
      };
      let optimizer = new OwLoreOptimizer(options);
      const comparisons = new Map<string, Comparison>();
      const compare = (what: string, step: number, actual: ArrayLike<number> | undefined): void => {
        const comparison = comparisons.get(what) ?? new Comparison(what, fixture.tolerance[what]!);
        comparisons.set(what, comparison);
        comparison.add(`after step ${step + 1}`, actual!, entry(trajectory.get(`${what}.W`), step));
      };
      for (let step = 0; step < fixture.steps; step++) {
        // Their epsilon has no bias correction, except in LDAdam.
        const hasCorrection = fixture.update === 'galore';
        const correction = hasCorrection ? 1 : Math.sqrt(1 - fixture.betas[1] ** (step + 1));
        optimizer = await continued(optimizer, {...options, epsilon: fixture.eps / correction});
        trajectory.step(optimizer, step);
        compare('after', step, await trajectory.variables.get('W')!.data());
        compare('m', step, await trajectory.state(optimizer, 'W', 'moment1'));
        compare('v', step, await trajectory.state(optimizer, 'W', 'moment2'));
        if (!hasCorrection) compare('limit', step, await trajectory.state(optimizer, 'W', 'limit'));
      }
      for (const comparison of comparisons.values()) comparison.finish();
      await optimizer.settled();
      optimizer.dispose();
      trajectory.dispose();
    });
  }

  it('are an error in a configuration that cannot be', () => {
    for (const [options, message] of [
      [{update: 'lora'}, `update must be one of ${quoted(updateNames)}; got`],
      [
        {update: 'apollo', basis: 'svd'},
        /basis 'svd' has no meaning with update 'apollo', which makes bases of its own/,
      ],
    ] as Array<[OwLoreOptions, RegExp | string]>) {
      expect(() => new OwLoreOptimizer(options)).to.throw(message);
    }
  });

  if (backend !== fastBackend) return;

  it('have random bases of the variance 1/rank, another in each step, the same in all runs', async () => {
    const [rows, rank] = [2000, 16];
    const bases = [3, 3, 4].map((step) => apollo.basis!([rows, rank], step));
    const [first, again, next] = await Promise.all(bases.map((x) => x.data<'float32'>()));
    expect(again).to.deep.equal(first);
    const product = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, x, i) => sum + x * b[i]!, 0) / a.length;
    // Means of 32000 numbers: √(2/32000) of the variance is a standard deviation, and √(1/32000) of the product of two bases.
    expect(product(first!, first!)).to.be.closeTo(1 / rank, 0.03 / rank);
    expect(product(first!, next!)).to.be.closeTo(0, 0.03 / rank);
    tf.dispose(bases);
  });

  for (const update of ['fira', 'apollo'] as const) {
    it(`take four buffers of the size of a matrix, with its gradient: ${update}`, () => {
      const meter = startMemoryMeter();
      const [rows, columns] = [256, 128];
      const weight = variableOf(tf.ones([rows, columns]));
      const optimizer = new OwLoreOptimizer({update, rank: 1});
      const fromNowhere = tf.customGrad(() => ({
        value: tf.scalar(1),
        gradFunc: () => tf.fill([rows, columns], 0.5),
      }));
      // the second step is limited by the first
      for (let step = 0; step < 2; step++) {
        meter.reset();
        const before = meter.current();
        optimizer.minimize(() => fromNowhere(weight), false, [weight]);
        const peak = meter.peak() - Math.max(before, meter.current());
        // and some of the size of its rows
        const buffer = 4 * rows * columns;
        expect(peak, `step ${step}`).to.be.within(4 * buffer, 4.1 * buffer);
      }
      meter.stop();
      optimizer.dispose();
      weight.dispose();
    });
  }

  const own: Record<string, OwLoreOptions> = {
    fira: {update: 'fira', moments: 'rotate'},
    'apollo with clipping': {update: 'apollo', clipNorm: 1},
    'apollo-mini, accumulated': {update: 'apollo-mini', rank: 1, accumulate: 2},
  };
  for (const [title, more] of Object.entries(own)) {
    it(`go on from a saved state to the last bit: ${title}`, async () => {
      const options: OwLoreOptions = {
        ...{learningRate: 0.05, rank: 2, refreshInterval: 2, weightDecay: 0.1},
        ...more,
      };
      const fit = async (stops: readonly number[]): Promise<Float32Array[]> => {
        const start = [
          tf.randomNormal([9, 6], 0, 1, 'float32', 1),
          tf.randomNormal([5, 8], 0, 1, 'float32', 2),
        ];
        const weights = start.map((value) => tf.variable(value));
        let optimizer = new OwLoreOptimizer(options);
        for (let step = 0; step < 12; step++) {
          if (stops.includes(step)) optimizer = await continued(optimizer, options);
          const loss = (): tf.Scalar =>
            tf.addN(
              weights.map((weight) => tf.sum<tf.Scalar>(tf.pow(tf.sub(weight, 0.1 * step), 4))),
            );
          // The second one is frozen now and then.
          optimizer.minimize(loss, false, step % 4 < 3 ? weights : weights.slice(0, 1));
        }
        const values = await Promise.all(weights.map((weight) => weight.data<'float32'>()));
        optimizer.dispose();
        tf.dispose([start, weights]);
        return values;
      };
      const whole = await fit([]);
      expect(whole[0]!.every(Number.isFinite)).to.equal(true);
      expect(await fit([3, 8])).to.deep.equal(whole);
    });
  }

  it('make the step of the mean of accumulated gradients, scaled by the clipping of the whole', async () => {
    const gradients = [3, 4].map((seed) =>
      tf.randomNormal<tf.Rank.R2>([8, 6], 0, 1, 'float32', seed),
    );
    const mean = tf.tidy(() => tf.div(tf.add(gradients[0]!, gradients[1]!), 2));
    const [norm] = tf.tidy(() => tf.norm(mean).dataSync());
    const moved = async (parts: tf.Tensor[], options: OwLoreOptions): Promise<Float32Array> => {
      const weight = variableOf(tf.ones([8, 6]));
      const optimizer = new OwLoreOptimizer({
        rank: 2,
        update: 'fira',
        basis: 'svd',
        epsilon: 0.5,
        ...options,
      });
      // in the second step there is a basis
      for (const tensor of [...parts, ...parts])
        optimizer.applyGradients([{name: weight.name, tensor}]);
      const values = await weight.data<'float32'>();
      optimizer.dispose();
      weight.dispose();
      return values;
    };
    const together = await moved(gradients, {accumulate: 2});
    const alone = await moved([mean], {});
    together.forEach((value, i) => expect(value).to.be.closeTo(alone[i]!, 1e-7));
    const half = tf.mul(mean, 0.5);
    const clipped = await moved([mean], {clipNorm: norm! / 2});
    const scaled = await moved([half], {});
    clipped.forEach((value, i) => expect(value).to.be.closeTo(scaled[i]!, 1e-6));
    expect(clipped[0]).not.to.be.closeTo(alone[0]!, 1e-6);
    tf.dispose([gradients, mean, half]);
  });

  it('have a basis of orthonormal columns, whatever the scale', async () => {
    const weight = variableOf(tf.ones([6, 5]));
    const optimizer = new OwLoreOptimizer({rank: 2, update: 'fira'});
    const tensor = tf.randomNormal([6, 5], 0, 1, 'float32', 8);
    optimizer.applyGradients([{name: weight.name, tensor}]);
    const basis = (await optimizer.getWeights()).find(({name}) => name.endsWith('basis'))!.tensor;
    const gram = tf.tidy(() => tf.matMul(basis as tf.Tensor2D, basis as tf.Tensor2D, true));
    [...(await gram.data())].forEach((x, i) => expect(x).to.be.closeTo(i % 3 === 0 ? 1 : 0, 1e-6));
    optimizer.dispose();
    tf.dispose([weight, tensor, gram]);
  });

  it('change nothing in a step that is skipped', async () => {
    const weight = variableOf(tf.ones([6, 5]));
    const optimizer = new OwLoreOptimizer({
      rank: 2,
      update: 'fira',
      nonFinite: 'skip',
      refreshInterval: 1,
    });
    const step = (value: number): void =>
      tf.tidy(() =>
        optimizer.applyGradients([{name: weight.name, tensor: tf.fill([6, 5], value)}]),
      );
    step(1);
    const read = async (): Promise<number[][]> =>
      Promise.all(
        [weight, ...(await optimizer.getWeights()).slice(3).map(({tensor}) => tensor)].map(
          async (x) => [...(await x.data())],
        ),
      );
    const before = await read();
    step(NaN);
    expect(await read()).to.deep.equal(before);
    expect(optimizer.skippedSteps).to.equal(1);
    optimizer.dispose();
    weight.dispose();
  });

  it('learn: each of them lowers a loss', () => {
    for (const options of [
      {update: 'fira'},
      {update: 'apollo'},
      {update: 'apollo-mini', rank: 1},
    ] as const) {
      const target = tf.randomNormal([12, 10], 0, 1, 'float32', 5);
      const weight = variableOf(tf.zeros([12, 10]));
      const optimizer = new OwLoreOptimizer({
        learningRate: 0.1,
        rank: 2,
        refreshInterval: 10,
        ...options,
      });
      const loss = (): tf.Scalar => tf.mean(tf.squaredDifference(weight, target));
      const [before] = tf.tidy(() => loss().dataSync());
      for (let i = 0; i < 40; i++) optimizer.minimize(loss, false, [weight]);
      const [after] = tf.tidy(() => loss().dataSync());
      expect(after! / before!, options.update).to.be.below(0.3);
      optimizer.dispose();
      tf.dispose([target, weight]);
    }
  });
});
