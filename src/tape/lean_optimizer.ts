import * as tf from '@tensorflow/tfjs-core';
import {checkChoice, checkKnown} from '../options';
import {layerRecomputations, withRecomputedLayers, type RecomputedLayers} from './recompute_layers';
import {variableGrads} from './tfjs_gradients';

/**
 * Gives any tfjs optimizer the gradient tape of {@link OwLoreOptimizer}: fewer activations are kept for the backward pass.
 * All gradients live until the update, since a stock optimizer takes them together.
 *
 * ```ts
 * model.compile({optimizer: leanOptimizer(tf.train.adam(1e-3)), loss});
 * ```
 *
 * @param optimizer Its method `computeGradients`, which `minimize` and so `fit` call, is replaced; it is returned.
 * @param options `checkpoint`: as the option of {@link OwLoreOptimizer}. Default `'auto'`.
 * @throws Error that names the option, its value and what is allowed.
 */
export function leanOptimizer<T extends tf.Optimizer>(
  optimizer: T,
  options: {checkpoint?: RecomputedLayers} = {},
): T {
  checkKnown('leanOptimizer', options, ['checkpoint']);
  const {checkpoint = 'auto'} = options;
  checkChoice('leanOptimizer', 'checkpoint', checkpoint, layerRecomputations);
  optimizer.computeGradients = (f, varList) =>
    variableGrads(() => withRecomputedLayers(checkpoint, f), varList);
  return optimizer;
}
