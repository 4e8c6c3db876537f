import * as tf from '@tensorflow/tfjs-core';
import {
  installKernelsForBackend,
  installKernelsForStep,
  kernelChoices,
} from '../kernels/install_for_backend';
import {checkChoice, checkKnown, display} from '../common/options';
import {
  gradientCheckpointingChoices,
  withRecomputedLayers,
  type GradientCheckpointing,
} from './recompute_layers';
import {variableGrads} from './tfjs_gradients';
import {isOptimizer} from '../tfjs/optimizers';

/**
 * Gives any tfjs optimizer the gradient tape of {@link OwLoreOptimizer}: fewer activations are kept for the backward pass.
 * All gradients live until the update, since a stock optimizer takes them together. It also registers this library's kernels, as
 * {@link OwLoreOptimizer} does.
 *
 * ```ts
 * model.compile({optimizer: leanOptimizer(tf.train.adam(1e-3)), loss});
 * ```
 *
 * In a page the kernels are loaded from here on. `fit` and `fitDataset` wait for them; a loop of your own should await `ready()`
 * once, before the first step.
 *
 * @param optimizer Its method `computeGradients`, which `minimize` and so `fit` call, is replaced, and it gets the method `ready`;
 *   it is returned.
 * @param options `gradientCheckpointing` and `kernels`: as the options of {@link OwLoreOptimizer}. Default `'auto'` for both.
 * @throws Error that names the option, its value and what is allowed.
 */
export function leanOptimizer<T extends tf.Optimizer>(
  optimizer: T,
  options: {gradientCheckpointing?: GradientCheckpointing; kernels?: 'auto' | 'none'} = {},
): T & {
  /** Loads the kernels of the present backend, if `kernels` is `'auto'`: await it once before the first step of a loop of your own. */
  ready(): Promise<void>;
} {
  if (!isOptimizer(optimizer)) {
    throw new Error(
      `leanOptimizer: optimizer must be an optimizer of tfjs, such as tf.train.adam(1e-3); got ${display(optimizer)}`,
    );
  }
  checkKnown('leanOptimizer', options, ['gradientCheckpointing', 'kernels']);
  const {gradientCheckpointing = 'auto', kernels = 'auto'} = options;
  checkChoice(
    'leanOptimizer',
    'gradientCheckpointing',
    gradientCheckpointing,
    gradientCheckpointingChoices,
  );
  checkChoice('leanOptimizer', 'kernels', kernels, kernelChoices);
  optimizer.computeGradients = (f, varList) => {
    if (kernels === 'auto') installKernelsForStep();
    return variableGrads(() => withRecomputedLayers(gradientCheckpointing, f), varList);
  };
  const load = async (): Promise<void> => {
    if (kernels === 'auto') await installKernelsForBackend();
  };
  void load();
  const others = (optimizer as {ready?: () => Promise<void>}).ready;
  // `fit` awaits it as it does that of OwLoreOptimizer, whose module is in every entry of the package that has this one.
  const ready = async (): Promise<void> => {
    await tf.ready();
    await load();
    await others?.call(optimizer);
  };
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- it is the optimizer that was given
  return Object.assign(optimizer, {ready});
}
