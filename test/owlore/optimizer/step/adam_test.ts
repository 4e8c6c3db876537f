import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {movingAverage} from '../../../../src/owlore/optimizer/step/adam';
import {cosineDecay, linearDecay, warmup} from '../../../../src/owlore/optimizer/schedule';
import type {LearningRate} from '../../../../src/owlore/optimizer/schedule';
import {OwLoreOptimizer} from '../../../../src/owlore/owlore_optimizer';
import {describeBackends} from '../../../support/backends';
import {Comparison} from '../../../support/close';
import type {Tolerance} from '../../../support/close';
import {entry, readJson} from '../../../support/fixtures';
import {describeKernelSets} from '../../../support/kernel_sets';
import {Trajectory} from '../../../support/trajectory';

interface AdamCase {
  name: string;
  steps: number;
  lr: number[];
  betas: [number, number];
  eps: number;
  weightDecay: number;
  clipNorm: number | null;
  resetOnReturn: boolean;
  hasGrad: Record<string, boolean[]>;
  tolerance: Record<'after' | 'moment1' | 'moment2', Tolerance>;
}

/** The same rates as the fixture's list, made by the library's own schedules. */
const schedules: Record<string, LearningRate> = {
  adamw_linear: linearDecay(0.01, 24),
  adamw_warmup_cosine: warmup(4, cosineDecay(0.01, 20, {end: 0.001})),
};

describeBackends('adam', (backend) => {
  const {cases} = readJson<{cases: Array<{name: string}>}>('adamw/index');
  describeKernelSets(backend, (kernels) => {
    for (const {name} of cases) {
      it(`follows torch.optim: ${name}`, async () => {
        const fixture = readJson<AdamCase>(`adamw/${name}`);
        const trajectory = new Trajectory(`adamw/${name}`);
        const optimizer = new OwLoreOptimizer({
          learningRate: schedules[name] ?? fixture.lr[0]!,
          beta1: fixture.betas[0],
          beta2: fixture.betas[1],
          epsilon: fixture.eps,
          weightDecay: fixture.weightDecay,
          decay: /./,
          project: false,
          clipNorm: fixture.clipNorm,
          state: fixture.resetOnReturn ? 'reset' : 'keep',
          kernels,
        });
        const weights = new Comparison('weights', fixture.tolerance.after);
        const first = new Comparison('first moment', fixture.tolerance.moment1);
        const second = new Comparison('second moment', fixture.tolerance.moment2);
        for (let step = 0; step < fixture.steps; step++) {
          expect(optimizer.learningRate).to.be.closeTo(fixture.lr[step]!, 1e-12);
          trajectory.step(optimizer, step, (variable) => fixture.hasGrad[variable]![step]!);
          for (const [variable, weight] of trajectory.variables) {
            const where = `${variable} after step ${step + 1}`;
            weights.add(
              where,
              await weight.data(),
              entry(trajectory.get(`after.${variable}`), step),
            );
            const moment1 = await trajectory.state(optimizer, variable, 'moment1');
            const moment2 = await trajectory.state(optimizer, variable, 'moment2');
            const gradients = fixture.hasGrad[variable]!.slice(0, step + 1);
            const hasState = fixture.resetOnReturn ? gradients[step] : gradients.includes(true);
            expect([moment1, moment2].map((moment) => moment !== undefined)).to.deep.equal(
              [hasState, hasState],
              `${where}: has state`,
            );
            if (!hasState) continue;
            first.add(where, moment1!, entry(trajectory.get(`m.${variable}`), step));
            second.add(where, moment2!, entry(trajectory.get(`v.${variable}`), step));
          }
        }
        for (const comparison of [weights, first, second]) comparison.finish();
        optimizer.dispose();
        trajectory.dispose();
      });
    }
  });

  it('averages within float rounding, never below zero, and forgets all at β = 0', async () => {
    // Backends may take smaller numbers for zero.
    const smallest = 2 ** -126;
    const value = fc.oneof(fc.constant(0), fc.double({min: smallest, max: 1e30, noNaN: true}));
    const float = value.map(Math.fround);
    await fc.assert(
      fc.asyncProperty(float, float, fc.constantFrom(0, 0.3, 0.9, 0.999), async (a, x, beta) => {
        const average = tf.tidy(() => movingAverage(tf.scalar(a), tf.scalar(x), beta));
        const [result] = await average.data();
        average.dispose();
        const expected = beta * a + (1 - beta) * x;
        expect(result).to.be.at.least(0);
        // Three roundings, none of a number above the larger of the two.
        expect(result).to.be.closeTo(expected, 3 * 2 ** -23 * Math.max(a, x) + smallest);
        if (beta === 0) expect(result).to.equal(x);
      }),
      {numRuns: backend === 'webgpu' ? 20 : 200},
    );
  });

  it('keeps second moments that are never negative, rotated where the mean is larger than the deviation', async () => {
    // Two coordinates with no gradient but in the last step before the rotation by 45°, after which the second has mean 0.
    const corner = Math.SQRT1_2;
    const bases = [
      [1, 0, 0, 1, 0, 0, 0, 0],
      [corner, corner, corner, -corner, 0, 0, 0, 0],
    ];
    const basis = (): tf.Tensor2D => tf.tensor2d(bases.shift()!, [4, 2]);
    const [beta1, beta2] = [0.1, 0.999];
    const optimizer = new OwLoreOptimizer({
      ...{learningRate: 0.01, rank: 2, side: 'left', scale: 1, moments: 'rotate'},
      ...{refreshInterval: 3, beta1, beta2, basis},
    });
    const matrix = tf.tidy(() => tf.variable(tf.zeros([4, 5]), true, 'rotated'));
    for (const gradient of [0, 0, 2, 0]) {
      tf.tidy(() => {
        const tensor = tf.concat([tf.fill([2, 5], gradient), tf.zeros([2, 5])]);
        optimizer.applyGradients([{name: matrix.name, tensor}]);
      });
    }
    await optimizer.settled();
    // LDAdam's v̂ is |Q∘Q(v̂ − m̂∘m̂) + (Qm̂)∘(Qm̂)|, with Q∘Q = ½ everywhere, for both coordinates alike before
    const mean = ((1 - beta1) * 2) / (1 - beta1 ** 3);
    const variance = ((1 - beta2) * 4) / (1 - beta2 ** 3) - mean ** 2;
    expect(variance).to.be.below(-1);
    const saved = await optimizer.getWeights();
    const second = saved.find(({name}) => name === 'rotated/owlore.moment2')!.tensor;
    const rows = (await second.array()) as number[][];
    for (const [row, square] of [2 * mean ** 2, 0].entries()) {
      const expected = beta2 * (1 - beta2 ** 3) * Math.abs(variance + square);
      for (const value of rows[row]!) expect(value).to.be.closeTo(expected, 1e-4 * expected);
    }
    expect([...(await matrix.data())].every(Number.isFinite)).to.equal(true);
    optimizer.dispose();
    matrix.dispose();
  });

  it('has a clock of its own for each variable: a late one makes its first step by the rate', async () => {
    const [early, late] = [1, 2].map((i) =>
      tf.tidy(() => tf.variable(tf.zeros([3]), true, `clock/${i}`)),
    );
    const optimizer = new OwLoreOptimizer({learningRate: 0.01});
    const gradient = tf.tensor1d([0.5, -3, 1e-3]);
    for (let step = 0; step < (backend === 'webgpu' ? 50 : 1000); step++)
      optimizer.applyGradients([{name: early!.name, tensor: gradient}]);
    optimizer.applyGradients([{name: late!.name, tensor: gradient}]);
    // with the clock of the other one it would move by 2.5 times the rate
    const moved = [...(await late!.data())];
    [-0.01, 0.01, -0.01].forEach((way, i) => expect(moved[i]).to.be.closeTo(way, 1e-6));
    await optimizer.settled();
    optimizer.dispose();
    tf.dispose([early!, late!, gradient]);
  });
});
