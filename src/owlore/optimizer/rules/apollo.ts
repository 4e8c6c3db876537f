import * as tf from '@tensorflow/tfjs-core';
import {randomNormal} from '../../../kernels/host_tensors';
import {scalingFactors, spannedAxis, type ProjectedStep, type UpdateRule} from './rule';

/**
 * APOLLO (Zhu et al. 2024, arXiv 2412.05270): the gradient itself, scaled as Adam scales its random projection, column by column.
 *
 *   φ_j = ‖N_j‖/‖R_j‖
 *   S = G·φ, its norm limited
 *   W ← W − η·α·S
 *
 * η has Adam's bias corrections, and N, φ and S have not, as in the published code.
 */
export const apollo: UpdateRule = {
  needsWholeGradient: true,
  scalesDirections: false,
  basis: gaussianBasis,
  change: (step) => scaledGradient(step, scalingFactors(step, spannedAxis(step))),
};

/** APOLLO-Mini: one φ = ‖N‖/‖R‖ for the whole matrix, which is for rank 1. */
export const apolloMini: UpdateRule = {
  ...apollo,
  publishedScale: Math.sqrt(128),
  change: (step) => scaledGradient(step, scalingFactors(step, undefined)),
};

function scaledGradient({gradient, limited}: ProjectedStep, factors: tf.Tensor): tf.Tensor2D {
  return limited(() => tf.mul(gradient(), factors));
}

/** Any fixed number: a run repeats itself. */
const SEED = 241205270;

/**
 * A random basis [m, r] of independent normal numbers with the variance 1/r, so that PᵀG has columns of about the length of
 * those of G. All matrices of one shape get the same one in a step.
 */
function gaussianBasis([m, rank]: [number, number], step: number): tf.Tensor2D {
  return randomNormal<tf.Rank.R2>([m, rank], 1 / Math.sqrt(rank), SEED + step);
}
