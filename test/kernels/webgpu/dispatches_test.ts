import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {OwLoreOrthonormalize} from '../../../src/kernels/kernel_names';
import {installKernels, uninstallKernels} from '../../../src/kernels/webgpu';
import {zeroMoments} from '../../../src/owlore/optimizer/step/adam';
import {gradientOf} from '../../../src/owlore/optimizer/step/gradient';
import {blockGramSchmidt} from '../../../src/owlore/optimizer/state/orthonormalize';
import {
  basisShape,
  planProjection,
  projectedShape,
} from '../../../src/owlore/optimizer/state/projector';
import {emptyState} from '../../../src/owlore/optimizer/state/state';
import {applyUpdates, projectGradient} from '../../../src/owlore/optimizer/step/update';
import {owloreDefaults} from '../../../src/owlore/optimizer/options';
import {describeWebgpu} from './compare';
import {countDispatches} from '../../../tools/count_dispatches';
import {
  composedUpdate,
  kernelUpdate,
  runKernel,
  type UpdateInputs,
} from '../../../tools/webgpu_updates';

const numbers = {beta1: 0.9, beta2: 0.999, rate: 1e-3, epsilon: 1e-8, decay: 0.99} as const;
const left = {...numbers, side: 'left'} as const;
const right = {...numbers, side: 'right'} as const;

describeWebgpu('dispatches of an update [webgpu]', () => {
  /** Tensors as they are in a training, with a clip factor, and with what stands for a check. */
  function inputs(basisShape: [number, number] | null, momentShape: number[]): UpdateInputs {
    return {
      variable: tf.randomNormal([96, 64]),
      gradient: tf.randomNormal([96, 64]),
      basis: basisShape ? tf.randomNormal<tf.Rank.R2>(basisShape) : undefined,
      first: tf.zeros(momentShape),
      second: tf.zeros(momentShape),
      clip: tf.scalar(0.5),
      allFinite: tf.scalar(true, 'bool'),
    };
  }

  // Small tensors that are on the host are computed there by tfjs's own kernels. In a training they are on the device.
  before(() => tf.env().set('WEBGPU_CPU_FORWARD', false));
  after(() => tf.env().set('WEBGPU_CPU_FORWARD', true));

  it('are 4 for a projected matrix, where the composed ops need more than 20', () => {
    tf.tidy(() => {
      const onLeft = inputs([96, 16], [16, 64]);
      expect(countDispatches(() => kernelUpdate(onLeft, left))).to.equal(4);
      expect(countDispatches(() => composedUpdate(onLeft, left))).to.be.above(20);
      const onRight = inputs([64, 16], [96, 16]);
      expect(countDispatches(() => kernelUpdate(onRight, right))).to.equal(4);
      expect(countDispatches(() => composedUpdate(onRight, right))).to.be.above(20);
    });
  });

  for (const [rows, columns] of [
    [96, 64],
    // Sums so long that tfjs divides its product into two.
    [2500, 16],
    [16, 2500],
  ] as const) {
    it(`are as few where the optimizer makes it: ${rows}×${columns}`, async () => {
      const options = {...owloreDefaults, weightDecay: 0.1};
      const projection = planProjection([rows, columns], 8, rows < columns ? 'right' : 'left')!;
      const count = (): number =>
        tf.tidy(() => {
          const weight = tf.variable(tf.randomNormal([rows, columns]));
          const gradient = tf.randomNormal([rows, columns]);
          const basis = tf.randomNormal<tf.Rank.R2>(basisShape(projection));
          const moments = zeroMoments(projectedShape(projection));
          const state = {...emptyState(), basis, moments};
          const [clip, allFinite] = [tf.scalar(0.5), tf.scalar(true, 'bool')];
          const step = {
            options,
            learningRate: 1e-3,
            clip,
            allFinite,
            step: 0,
            onRefresh: () => undefined,
          };
          const given = {
            variable: weight,
            projection,
            state,
            gradient,
            newBasis: null,
            weightDecay: 0.1,
            rateFactor: 1,
            whole: null,
          };
          const dispatches = countDispatches(() => {
            const {update} = projectGradient(
              ...([given, gradientOf(gradient, weight, projection, options), step, false] as const),
            );
            applyUpdates([update], step);
          });
          tf.dispose([weight, state.moments.first, state.moments.second]);
          return dispatches;
        });
      expect(count()).to.equal(4);
      uninstallKernels();
      try {
        expect(count()).to.be.above(20);
      } finally {
        await installKernels();
      }
    });
  }

  it('are 3 for any other variable', () => {
    tf.tidy(() => {
      const plain = inputs(null, [96, 64]);
      expect(countDispatches(() => kernelUpdate(plain, left))).to.equal(3);
      expect(countDispatches(() => composedUpdate(plain, left))).to.be.above(15);
    });
  });

  it('are 13 for the orthonormalisation of a basis, where the composed ops need hundreds', () => {
    tf.tidy(() => {
      const matrix = tf.randomNormal<tf.Rank.R2>([64, 16]);
      expect(countDispatches(() => runKernel(OwLoreOrthonormalize, {matrix}))).to.equal(13);
      expect(countDispatches(() => blockGramSchmidt(matrix))).to.be.above(300);
    });
  });

  it('read nothing back', () => {
    const backend = tf.backend();
    const {read, readSync} = backend;
    const fail = (): never => {
      throw new Error('read back');
    };
    Object.assign(backend, {read: fail, readSync: fail});
    try {
      tf.tidy(() => {
        kernelUpdate(inputs([96, 16], [16, 64]), left);
        kernelUpdate(inputs(null, [96, 64]), left);
        runKernel(OwLoreOrthonormalize, {matrix: tf.randomNormal([40, 9])});
      });
    } finally {
      Object.assign(backend, {read, readSync});
    }
  });
});
