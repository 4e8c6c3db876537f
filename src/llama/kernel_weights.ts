import type * as tf from '@tensorflow/tfjs-core';
import {lowRankProduct} from '../kernels/products';
import {needsGradient} from '../tape/recording';

/** What a kernel takes of the weights of a block, and by which of these tensors it is differentiated. */
export interface KernelWeights {
  /** In the order of their gradients, of which the kernel computes all or none. */
  differentiated: Record<string, tf.Tensor>;
  constants: Record<string, tf.Tensor>;
  attrs: Record<string, number>;
}

/**
 * Weights as a kernel takes them that adds low-rank products (`declareLowRankProducts`): the gradients are those of these products if
 * there are any, else those of the weights.
 */
export function kernelWeights(weights: Record<string, tf.Tensor>): KernelWeights {
  const differentiated: Record<string, tf.Tensor> = {};
  const attrs: Record<string, number> = {};
  for (const [name, weight] of Object.entries(weights)) {
    const lowRank = lowRankProduct(weight);
    if (!lowRank) continue;
    differentiated[`${name}A`] = lowRank.a;
    differentiated[`${name}B`] = lowRank.b;
    attrs[`${name}Scale`] = lowRank.scale;
  }
  const isLowRank = Object.keys(attrs).length > 0;
  return isLowRank
    ? {differentiated, constants: weights, attrs}
    : {differentiated: weights, constants: {}, attrs};
}

/** Whether {@link kernelWeights} differentiates by all that is trained: not where a weight is that stands beside low-rank products. */
export function hasAllGradients(weights: Record<string, tf.Tensor>): boolean {
  return !Object.values(kernelWeights(weights).constants).some(needsGradient);
}
