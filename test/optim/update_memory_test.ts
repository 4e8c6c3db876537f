import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../../src/memory/meter';
import {OwLoreOptimizer} from '../../src/index';
import type {OwLoreOptions} from '../../src/index';
import {mostUpdatedTogether} from '../../src/kernels/capabilities';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import {hasKernel} from '../../src/kernels/run_kernel';
import {describeBackends} from '../support/backends';

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
 * Where nothing waits for a check only one gradient is there at a time. On webgpu the boolean that says whether all gradients are
 * finite is spread out, one byte an element.
 */

const [rows, columns] = [128, 64];
const buffer = 4 * rows * columns;

const plain: OwLoreOptions = {project: false};
const projected: OwLoreOptions = {project: /./, rank: 1, side: 'left', refreshInterval: 100};

const cases: Array<[string, OwLoreOptions, number]> = [
  ['plain', plain, 4],
  ['plain, clipped', {...plain, clipNorm: 0.01}, 4],
  ['plain, decayed', {...plain, weightDecay: 0.1}, 4],
  ['plain, clipped and decayed', {...plain, clipNorm: 0.01, weightDecay: 0.1}, 4],
  ['plain, updated at once', {...plain, nonFinite: 'ignore'}, 3],
  ['plain, decayed and updated at once', {...plain, nonFinite: 'ignore', weightDecay: 0.1}, 3],
  ['projected', projected, 2],
  ['projected, updated at once', {...projected, nonFinite: 'ignore'}, 2],
  ['projected, clipped and decayed', {...projected, clipNorm: 0.01, weightDecay: 0.1}, 2],
];

describeBackends('a step of two large matrices', (backend) => {
  for (const [title, options, buffers] of cases) {
    it(`takes at most ${buffers} buffers of their size: ${title}`, async () => {
      const meter = startMemoryMeter();
      const weights = [0, 1].map(() => tf.tidy(() => tf.variable(tf.zeros([rows, columns]))));
      const optimizer = new OwLoreOptimizer(options);
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
      const isSpread = ['webgpu', 'webgl'].includes(backend) && options.nonFinite !== 'ignore';
      // The variable's new value is there before its gradient and the old moments are freed.
      const ofKernel = backend === 'webgpu' && options.project === false ? buffer : 0;
      const most = buffers * buffer + ofKernel + (isSpread ? buffer / 4 : 0);
      // A few scalars; where variables are projected also the other one's R, and sums of the rows of its squares.
      const ofProjected = 4 * (rows + columns);
      // Where both are moved together, the new moments of both beside the old ones.
      const ofBoth = mostUpdatedTogether() > 0 ? 2 * 2 * 4 * rows : 0;
      const small = 64 + (options.project === false ? 0 : ofProjected + ofBoth);
      // Kernels of our own take less, where a backend has them.
      const least = hasKernel(OwLoreAdam) ? 0 : buffers * buffer;
      for (const peak of peaks.slice(1)) expect(peak).to.be.within(least, most + small);
      // A basis is made from no more than the gradient and tensors of rank 1.
      expect(peaks[0]).to.be.at.most(most + buffer / 4);
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
