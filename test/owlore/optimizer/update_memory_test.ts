import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../../src/memory/meter';
import {OwLoreOptimizer} from '../../../src/index';
import type {OwLoreOptions} from '../../../src/index';
import {uninstallKernels} from '../../../src/kernels/cpu';
import {maxUpdatedTogether, readsSynchronously} from '../../../src/kernels/capabilities';
import {OwLoreAdam} from '../../../src/kernels/kernel_names';
import {hasKernel} from '../../../src/kernels/run_kernel';
import {describeBackends} from '../../support/backends';

/*
 * The most that a step takes beyond weights and state, counted in buffers of the size of one weight matrix. The forward and
 * the backward pass take nothing here, the gradients appear from nowhere, so it is the updates that are seen:
 *
 * plain      the gradients that wait, and two: of m ← m + (1 − β₁)(g − m) the difference and its part, or that part and the
 *            new m, which then takes the old one's place; for v the same, when g has made way for g². Later there are
 *            three, √v̂ + ε, m̂ and their quotient, but no longer this variable's gradient.
 * projected  no gradients, for what waits is of rank 1; the back-projected change and the new weight. Before, to measure a
 *            gradient, itself and its squares.
 *
 * Kernels for the update make v̂ + ε and the like entry by entry, and take:
 *
 * cpu        plain: the gradients that wait, and variable and moments that are new. projected: a gradient, or the new weight.
 * wasm       plain: the gradients that wait; all else is changed in place. projected: a gradient.
 * tensorflow plain: the gradients that wait, which it measures without their squares. projected: the new weights of both, which are
 *            moved together.
 * webgpu     plain: the gradients that wait, and variable and moments that are new. projected: as wasm, or the new weight; where the
 *            whole gradient is measured, itself, itself times 2⁻⁸⁰ and the squares of that, since it cannot be read whether plain
 *            squares were within float32.
 *
 * Where nothing waits for a check only one gradient is there at a time. On webgl the boolean that says whether all gradients are
 * finite is spread out, one byte an element.
 */

// too large for tensorflow's kernel to move them together where they are not projected
const [rows, columns] = [512, 128];
const buffer = 4 * rows * columns;

const plain: OwLoreOptions = {project: false};
const projected: OwLoreOptions = {project: /./, rank: 1, side: 'left', refreshInterval: 100};
const atOnce = {nonFinite: 'ignore'} as const;

/** Buffers with the ops of tfjs, and with the kernels of backends. */
interface Buffers {
  composed: number;
  cpu: number;
  wasm: number;
  tensorflow: number;
  webgpu: number;
}

const plainBuffers = {composed: 4, cpu: 5, wasm: 2, tensorflow: 2, webgpu: 5};
const plainAtOnceBuffers = {composed: 3, cpu: 4, wasm: 1, tensorflow: 1, webgpu: 4};
const projectedBuffers = {composed: 2, cpu: 1, wasm: 1, tensorflow: 2, webgpu: 1};

const cases: Array<[string, OwLoreOptions, Buffers]> = [
  ['plain', plain, plainBuffers],
  ['plain, clipped', {...plain, clipNorm: 0.01}, plainBuffers],
  ['plain, decayed', {...plain, weightDecay: 0.1}, plainBuffers],
  ['plain, clipped and decayed', {...plain, clipNorm: 0.01, weightDecay: 0.1}, plainBuffers],
  ['plain, updated at once', {...plain, ...atOnce}, plainAtOnceBuffers],
  [
    'plain, decayed and updated at once',
    {...plain, ...atOnce, weightDecay: 0.1},
    plainAtOnceBuffers,
  ],
  ['projected', projected, projectedBuffers],
  ['projected, updated at once', {...projected, ...atOnce}, {...projectedBuffers, tensorflow: 1}],
  [
    'projected, clipped and decayed',
    {...projected, clipNorm: 0.01, weightDecay: 0.1},
    {...projectedBuffers, webgpu: 3},
  ],
];

describeBackends('a step of two large matrices', (backend) => {
  // On cpu also by the ops of tfjs.
  const withKernels = cases.map((each) => [...each, 'auto'] as const);
  const without = cases.map((each) => [...each, 'none'] as const);
  for (const [title, options, buffers, kernels] of [
    ...withKernels,
    ...(backend === 'cpu' ? without : []),
  ]) {
    it(`takes as many buffers of their size as it must: ${title}, kernels '${kernels}'`, async () => {
      if (kernels === 'none') uninstallKernels();
      const meter = startMemoryMeter();
      const weights = [0, 1].map(() => tf.tidy(() => tf.variable(tf.zeros([rows, columns]))));
      const optimizer = new OwLoreOptimizer({...options, kernels});
      const peaks: number[] = [];
      for (let step = 0; step < 3; step++) {
        const before = meter.current();
        meter.reset();
        optimizer.minimize(() => tf.addN(weights.map(gradientFromNowhere)), false, weights);
        await optimizer.settled();
        // The first step also makes the state.
        peaks.push(meter.peak() - Math.max(before, meter.current()));
      }
      meter.stop();
      optimizer.dispose();
      tf.dispose(weights);
      const how = hasKernel(OwLoreAdam) ? backend : 'composed';
      expect(buffers).to.have.property(how);
      const isSpread = backend === 'webgl' && options.nonFinite !== 'ignore';
      const least = buffers[how as keyof Buffers] * buffer;
      const max = least + (isSpread ? buffer / 4 : 0);
      // A few scalars and the sums of the rows of squares; where variables are projected also the other one's R.
      const otherSide = 4 * columns;
      // Where they are not changed in place, new moments beside the old ones: of one, or of both where both are moved together.
      const newMoments =
        maxUpdatedTogether() > 0 ? 2 * 2 : ['cpu', 'webgpu'].includes(backend) ? 2 : 0;
      const small =
        64 + 4 * rows + (options.project === false ? 0 : otherSide + newMoments * 4 * rows);
      for (const peak of peaks.slice(1)) expect(peak).to.be.within(least, max + small);
      // A basis is made from no more than the gradient and tensors of rank 1.
      const measured = buffers.composed + (readsSynchronously() ? 0 : 1);
      const maxOfFirst = Math.max(measured * buffer, max);
      expect(peaks[0]).to.be.at.most(maxOfFirst + buffer / 4);
    });
  }
});

/** A loss whose gradient is made when it is asked for, of nothing. */
function gradientFromNowhere(weight: tf.Variable): tf.Scalar {
  return tf.customGrad(() => ({
    value: tf.scalar(1),
    gradFunc: () => tf.fill(weight.shape, 0.5),
  }))(weight);
}
