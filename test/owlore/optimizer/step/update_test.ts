import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import type {BasisFunction, OwLoreOptions} from '../../../../src/owlore/optimizer/options';
import {OwLoreOptimizer} from '../../../../src/owlore/owlore_optimizer';
import {describeFastBackends} from '../../../support/backends';
import {Comparison, type Tolerance} from '../../../support/close';
import {entry, readJson, type FixtureTensor} from '../../../support/fixtures';
import {describeKernelSets, type KernelSet} from '../../../support/kernel_sets';
import {alignedBasis, type Bases} from '../../../support/training_run';
import {Trajectory} from '../../../support/trajectory';

interface GaloreCase {
  name: string;
  source: string;
  side: 'left' | 'right';
  basisLayout: string;
  rank: number;
  gap: number;
  scale: number;
  moments: 'keep' | 'reset' | 'rotate';
  lr: number;
  betas: [number, number];
  eps: number;
  weightDecay: number;
  hasGrad?: boolean[];
  stateOnReturn?: 'kept' | 'dropped';
  steps: number;
  refreshes: Array<{k: number; step: number}>;
  tolerance: Record<string, Tolerance>;
}

/** A recorded basis as this library has it, [m, rank]: galore-torch writes the right side's transposed. */
function recordedBasis(trajectory: Trajectory, k: number, rank: number): tf.Tensor2D {
  const {values, shape}: FixtureTensor = trajectory.get(`basis.${k}`);
  const basis = tf.tensor2d(values as Float32Array, shape as [number, number]);
  return shape[1] === rank ? basis : tf.transpose(basis);
}

describeFastBackends('update', (backend) => {
  // The exact basis needs a read-back, which webgpu cannot do within a step.
  const kinds =
    backend === 'webgpu' ? (['recorded'] as const) : (['recorded', 'own exact'] as const);
  const {cases} = readJson<{cases: Array<{name: string}>}>('galore/index');
  describeKernelSets(backend, (kernels) => {
    for (const {name} of cases) {
      for (const kind of kinds) {
        it(`follows ${name} with ${kind} bases`, () => runCase(name, kind, kernels));
      }
    }
  });
});

async function runCase(name: string, kind: Bases, kernels: KernelSet): Promise<void> {
  const fixture = readJson<GaloreCase>(`galore/${name}`);
  const trajectory = new Trajectory(`galore/${name}`);
  const galoreTorch = fixture.source === 'galore_torch';
  const refreshedAt: number[] = [];
  let step = 0;
  const basis: BasisFunction = (gradient, rank, previous, variable) => {
    const recorded = recordedBasis(trajectory, refreshedAt.length, rank);
    refreshedAt.push(step + 1);
    if (kind === 'recorded') return recorded;
    return alignedBasis(recorded, gradient, rank, previous, variable);
  };
  const options: OwLoreOptions = {
    learningRate: fixture.lr,
    beta1: fixture.betas[0],
    beta2: fixture.betas[1],
    epsilon: fixture.eps,
    // galore-torch decays after the step, on the new weight: that is done by hand below.
    weightDecay: galoreTorch ? 0 : fixture.weightDecay,
    decay: /./,
    rank: fixture.rank,
    scale: fixture.scale,
    side: fixture.side,
    refreshInterval: fixture.gap,
    moments: fixture.moments,
    state: fixture.stateOnReturn === 'dropped' ? 'reset' : 'keep',
    basis,
    kernels,
  };
  let optimizer = new OwLoreOptimizer(options);
  const suffix = kind === 'recorded' ? '' : 'OwnBasis';
  const comparisons = new Map<string, Comparison>();
  const compare = (what: string, where: string, actual: ArrayLike<number>, key: string): void => {
    const tolerance = fixture.tolerance[what + suffix] ?? fixture.tolerance[what]!;
    const comparison = comparisons.get(what) ?? new Comparison(what, tolerance);
    comparisons.set(what, comparison);
    comparison.add(where, actual, entry(trajectory.get(key), step));
  };
  for (; step < fixture.steps; step++) {
    const has = fixture.hasGrad?.[step] ?? true;
    if (galoreTorch) {
      // Its epsilon is not bias-corrected: the same in our form is another epsilon in each step.
      const epsilon = fixture.eps / Math.sqrt(1 - fixture.betas[1] ** (step + 1));
      optimizer = await continued(optimizer, {...options, epsilon});
    }
    trajectory.step(optimizer, step, () => has);
    if (galoreTorch) decayAfter(trajectory, fixture.lr * fixture.weightDecay);
    const where = `after step ${step + 1}`;
    for (const [variable, weight] of trajectory.variables) {
      const what = variable === 'W' ? 'after' : 'afterBias';
      compare(what, where, await weight.data(), `after.${variable}`);
    }
    if (!has) {
      const dropped = (await trajectory.state(optimizer, 'W', 'basis')) === undefined;
      expect(dropped, `state is freed ${where}`).to.equal(fixture.stateOnReturn === 'dropped');
      continue;
    }
    compare('m', where, (await trajectory.state(optimizer, 'W', 'moment1'))!, 'm.W');
    compare('v', where, (await trajectory.state(optimizer, 'W', 'moment2'))!, 'v.W');
  }
  for (const comparison of comparisons.values()) comparison.finish();
  expect(refreshedAt).to.deep.equal(fixture.refreshes.map((refresh) => refresh.step));
  optimizer.dispose();
  trajectory.dispose();
}

/** An optimizer with other options that goes on from the state of `optimizer`, which is disposed. */
async function continued(
  optimizer: OwLoreOptimizer,
  options: OwLoreOptions,
): Promise<OwLoreOptimizer> {
  const next = new OwLoreOptimizer(options);
  await next.setWeights(await optimizer.getWeights());
  optimizer.dispose();
  return next;
}

function decayAfter(trajectory: Trajectory, decay: number): void {
  for (const variable of trajectory.variables.values()) {
    tf.tidy(() => variable.assign(tf.mul(variable, 1 - decay)));
  }
}
