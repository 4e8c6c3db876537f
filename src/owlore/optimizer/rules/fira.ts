import * as tf from '@tensorflow/tfjs-core';
import {scalingFactors, spannedAxis, type UpdateRule} from './rule';

/**
 * Fira (Chen et al. 2024, arXiv 2410.01623), with P of orthonormal columns: what of the gradient is outside the subspace is scaled
 * as Adam scales the part inside, column by column.
 *
 *   φ_j = ‖N_j‖/‖R_j‖
 *   S = (G − P·R)·φ, its norm limited
 *   W ← W − η·α·(P·N + S)
 *
 * η has Adam's bias corrections, and N, φ and S have not, as in the published code. There α multiplies P·N and P·R, but not S; here
 * it is the length of the whole step. They are the same at α = 1.
 */
export const fira: UpdateRule = {
  needsWholeGradient: true,
  scalesDirections: false,
  change(step) {
    const {n, r, gradient, toSpace, limited} = step;
    const factors = scalingFactors(step, spannedAxis(step));
    // Every statement frees what no later one needs: beside the result there are at most two buffers of the matrix's size at once.
    return tf.tidy(() => {
      const outside = limited(() => {
        const rest = tf.tidy(() => tf.sub<tf.Tensor2D>(gradient(), toSpace(r)));
        return tf.mul(rest, factors);
      });
      return tf.add(toSpace(n), outside);
    });
  },
};
